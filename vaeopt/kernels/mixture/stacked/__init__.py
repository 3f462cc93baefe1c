"""Mixtures of many trials at once, for a GPU: the host neither computes nor looks at numbers."""
