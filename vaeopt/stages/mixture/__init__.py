"""Clusters in the latent space."""

from vaeopt.stages.mixture import bgmm, gmm
from vaeopt.stages.mixture.base import MixtureModel, choose_points

__all__ = ["MixtureModel", "bgmm", "choose_points", "gmm"]
