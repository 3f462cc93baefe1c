"""Collapsed latents: found, named, and kept out of the race."""

from vaeopt.stages.latent_filter import geomean, units, variance_product
from vaeopt.stages.latent_filter.base import LatentFilter

__all__ = ["LatentFilter", "geomean", "units", "variance_product"]
