"""Kernels in C++ (``source/``), compiled on the machine that runs them."""

from vaeopt.kernels.native.build import cache_folder, library

__all__ = ["cache_folder", "library"]
