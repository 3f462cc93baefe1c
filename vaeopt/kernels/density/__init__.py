"""Kernel density estimates."""

from vaeopt.kernels.density.blocked import log_density, log_density_loo
from vaeopt.kernels.density.reference import scott_bandwidth

__all__ = ["log_density", "log_density_loo", "scott_bandwidth"]
