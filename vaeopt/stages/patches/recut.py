"""Cut the same windows a second time, turned or shifted (semantics 8.2)."""

from typing import Final

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from vaeopt.core.types import Bools, Floats, Ints, KeyPoints, Micrograph, Patches
from vaeopt.kernels.agreement import has_room
from vaeopt.kernels.crop import crop, first_pixel

__all__ = ["recut"]

_BLOCK_PIXELS = 1_000_000  # samples at once: about 40 MB of coordinates and values
_BORDER: Final = "mirror"  # the same for both steps of the spline


def recut(
    micrograph: Micrograph,
    keypoints: KeyPoints,
    size_px: int,
    *,
    angle_rad: Floats | None = None,
    shift_px: Floats | None = None,
    largest_window_px: int,
) -> tuple[Patches, Bools]:
    """Windows round the same key points, each turned about its centre and shifted.

    Pixels are interpolated by a cubic spline and clipped to [0, 1]. A window that is not moved has
    exactly the pixels of :func:`vaeopt.stages.patches.cut`.

    Args:
        micrograph: the image.
        keypoints: n key points.
        size_px: edge of the window [px], at most ``largest_window_px``.
        angle_rad: (n,) turn of each window, counter-clockwise with row 0 on top [rad]; what it
            shows appears turned clockwise. 0 if left out.
        shift_px: (n, 2) shift of each window along rows and columns [px]; 0 if left out.
        largest_window_px: the largest window of the study [px]. A key point counts if this one
            has its place in the image, so that the same key points count in every trial.

    Returns:
        One patch per key point, in the order of the key points, 0 everywhere where it does not
        count; and whether each key point counts, (n,).
    """
    pixels, n = micrograph.pixels, len(keypoints)
    height, width = pixels.shape
    inside = has_room(
        keypoints.yx_px,
        largest_window_px,
        (height, width),
        angle_rad=angle_rad,
        shift_px=shift_px,
    )
    angle = np.zeros(n) if angle_rad is None else np.asarray(angle_rad, np.float64)
    shift = np.zeros((n, 2)) if shift_px is None else np.asarray(shift_px, np.float64)
    moved = (angle != 0) | (shift != 0).any(axis=1)
    patches = np.zeros((n, size_px, size_px), dtype=np.float32)
    # What stays is copied: the spline gives it back only up to the last bits.
    stays = inside & ~moved
    patches[stays] = crop(pixels, keypoints.yx_px[stays], size_px)
    centre = first_pixel(keypoints.yx_px, size_px) + (size_px - 1) / 2 + shift
    _interpolate(pixels, centre, angle, np.flatnonzero(inside & moved), patches)
    return Patches(pixels=patches, keypoint_index=np.arange(n)), inside


def _interpolate(
    pixels: Floats, centre_px: Floats, angle_rad: Floats, rows: Ints, out: Floats
) -> None:
    """Fill ``out[rows]`` block by block."""
    if len(rows) == 0:
        return
    size = out.shape[1]
    coefficients = spline_filter(pixels, order=3, output=np.float64, mode=_BORDER)
    offset = np.arange(size) - (size - 1) / 2
    row, col = np.meshgrid(offset, offset, indexing="ij")
    block = max(1, _BLOCK_PIXELS // size**2)
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        cos, sin = np.cos(angle_rad[some])[:, None, None], np.sin(angle_rad[some])[:, None, None]
        middle = centre_px[some][:, :, None, None]
        places = (middle[:, 0] + cos * row - sin * col, middle[:, 1] + sin * row + cos * col)
        values = map_coordinates(
            coefficients, np.stack(places), order=3, mode=_BORDER, prefilter=False
        )
        out[some] = np.clip(values, 0, 1)
