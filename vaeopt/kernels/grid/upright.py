"""Patches turned and shifted back into the frame in which a decoder draws without a pose."""

import numpy as np
from numpy.typing import NDArray

from vaeopt.kernels.grid.reference import pixel_grid

__all__ = ["upright"]

_BLOCK_PIXELS = 200_000  # that are looked up together: some 20 MB
_ROUNDING_PX = 1e-6  # a pixel on the edge of the window is inside


def upright(
    pixels: NDArray[np.floating],
    linear: NDArray[np.floating],
    offset: NDArray[np.floating],
) -> NDArray[np.float64]:
    """What patches show once their pose is taken away.

    A patch with pose (L, t) shows at grid point g what the canonical content shows at ``L g + t``.
    So the canonical content at p is seen in the patch at ``L^-1 (p - t)``, between pixels: they are
    interpolated bilinearly.

    Args:
        pixels: (n, size, size).
        linear: (n, 2, 2), invertible.
        offset: (n, 2) in half windows.

    Returns:
        (n, size, size); NaN where the patch does not reach.
    """
    n, size = len(pixels), pixels.shape[-1]
    grid = pixel_grid(size).numpy().astype(np.float64)
    back = np.linalg.inv(np.asarray(linear, np.float64))
    made = np.empty((n, size * size))
    step = max(1, _BLOCK_PIXELS // size**2)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        from_middle = grid - np.asarray(offset[rows], np.float64)[:, None]
        place = from_middle @ back[rows].transpose(0, 2, 1)
        half = (size - 1) / 2
        made[rows] = _between(pixels[rows], (1 + place[..., 0]) * half, (1 - place[..., 1]) * half)
    return made.reshape(n, size, size)


def _between(
    pixels: NDArray[np.floating], row: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bilinear values of each picture at its own places (n, points); NaN outside."""
    last = pixels.shape[-1] - 1
    places = np.stack([row, column])
    inside = ((places >= -_ROUNDING_PX) & (places <= last + _ROUNDING_PX)).all(axis=0)
    places = np.clip(places, 0, last)
    first = np.minimum(np.floor(places).astype(np.int64), max(0, last - 1))
    down, right = places - first
    (top, left), (bottom, beyond) = first, np.minimum(first + 1, last)
    which = np.arange(len(pixels))[:, None]
    upper = (1 - right) * pixels[which, top, left] + right * pixels[which, top, beyond]
    lower = (1 - right) * pixels[which, bottom, left] + right * pixels[which, bottom, beyond]
    return np.where(inside, (1 - down) * upper + down * lower, np.nan)
