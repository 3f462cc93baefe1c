"""Pixel coordinates of a window and their affine transforms."""

from vaeopt.kernels.grid.reference import affine_pose, pixel_grid, transform

__all__ = ["affine_pose", "pixel_grid", "transform"]
