"""Whole epochs of training, compiled; see ``native/source/trainer.h``."""

from vaeopt.kernels.training.native import Member, Recipe, runs, train

__all__ = ["Member", "Recipe", "runs", "train"]
