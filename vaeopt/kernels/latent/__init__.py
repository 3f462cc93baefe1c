"""Health of latent units."""

from vaeopt.kernels.latent.reference import unit_diagnostics

__all__ = ["unit_diagnostics"]
