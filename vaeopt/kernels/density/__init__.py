"""Kernel density estimates."""

from vaeopt.kernels.density.reference import log_density, log_density_loo, scott_bandwidth

__all__ = ["log_density", "log_density_loo", "scott_bandwidth"]
