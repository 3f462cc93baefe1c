"""Pixel coordinates of a window and their affine transforms."""

from vaeopt.kernels.grid.reference import affine_pose, pixel_grid, transform
from vaeopt.kernels.grid.upright import upright

__all__ = ["affine_pose", "pixel_grid", "transform", "upright"]
