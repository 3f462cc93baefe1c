"""Whole epochs of training, compiled; see ``native/source/trainer.h``."""

from vaeopt.kernels.training.native import Member, runs, train
from vaeopt.kernels.training.recipe import Recipe

__all__ = ["Member", "Recipe", "runs", "train"]
