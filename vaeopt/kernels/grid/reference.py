"""Pixel coordinates, the affine map that a pose makes of them, and what that map means.

Coordinates are in half windows, as in pyroVED: coordinate 1 runs down the rows from -1 to 1,
coordinate 2 runs along the columns from 1 to -1. A decoder with pose (L, t) draws at grid point g
what its canonical content shows at ``L g + t``.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["affine_pose", "pixel_grid", "transform"]


def pixel_grid(size_px: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Coordinates of the pixels of a window, row by row.

    Returns:
        (size_px**2, 2) in half windows.

    >>> pixel_grid(3)[:4].tolist()
    [[-1.0, 1.0], [-1.0, 0.0], [-1.0, -1.0], [0.0, 1.0]]
    """
    down = torch.linspace(-1, 1, size_px, dtype=dtype)
    left = torch.linspace(1, -1, size_px, dtype=dtype)
    return torch.cartesian_prod(down, left)


def transform(grid: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """``L g + t`` for every patch and pixel.

    Args:
        grid: (pixels, 2).
        linear: (..., 2, 2).
        offset: (..., 2).

    Returns:
        (..., pixels, 2).
    """
    return grid @ linear.mT + offset.unsqueeze(-2)


def affine_pose(
    linear: NDArray[np.floating], offset: NDArray[np.floating], *, size_px: int
) -> dict[str, NDArray[np.float64]]:
    """What an affine map means for the picture that is seen.

    Canonical content at p is seen where ``L g + t = p``, so its centre is seen at ``-L^-1 t`` and
    the content is turned by the inverse of L. Coordinates (down, left) turn clockwise on a screen
    whose row 0 is at the top, hence the angle of L is the counter-clockwise turn of the content.

    Args:
        linear: (n, 2, 2).
        offset: (n, 2) in half windows.
        size_px: edge of the window.

    Returns:
        ``angle_rad`` counter-clockwise, in (-pi, pi]; ``shift_row_px`` downwards;
        ``shift_col_px`` to the right; ``magnification``; each (n,).
    """
    linear = np.asarray(linear, dtype=np.float64)
    offset = np.asarray(offset, dtype=np.float64)
    # pyroVED's R = [[cos, sin], [-sin, cos]] multiplies row vectors, so L = R^T.
    angle = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    centre = -np.linalg.solve(linear, offset[..., None])[..., 0]
    half_window_px = (size_px - 1) / 2
    return {
        "angle_rad": angle,
        "shift_row_px": centre[:, 0] * half_window_px,
        "shift_col_px": -centre[:, 1] * half_window_px,
        "magnification": 1 / np.sqrt(np.abs(np.linalg.det(linear))),
    }
