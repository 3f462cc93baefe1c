"""Clusters in the latent space."""

from vaeopt.stages.mixture import gmm
from vaeopt.stages.mixture.base import MixtureModel, choose_points

__all__ = ["MixtureModel", "choose_points", "gmm"]
