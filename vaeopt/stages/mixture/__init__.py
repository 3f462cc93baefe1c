"""Clusters in the latent space."""

from vaeopt.stages.mixture import bgmm, gmm
from vaeopt.stages.mixture.base import FitRequest, MixtureModel, choose_points

__all__ = ["FitRequest", "MixtureModel", "bgmm", "choose_points", "gmm"]
