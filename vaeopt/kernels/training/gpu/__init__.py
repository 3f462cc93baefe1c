"""Whole epochs of many models on a GPU, in kernels written in Triton."""
