"""Sparse latents between clusters: left out of the mixture fit."""

from vaeopt.stages.density_filter import everything, quantile, relative
from vaeopt.stages.density_filter.base import DensityFilter

__all__ = ["DensityFilter", "everything", "quantile", "relative"]
