"""Gaussian mixtures: densities, responsibilities and the criteria built on them."""
