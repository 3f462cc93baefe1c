"""Poses of a second look at the same key points (semantics 8.2), the same in all trials."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.seeds import derive
from vaeopt.kernels.crop import first_pixel

__all__ = ["draw_angles", "draw_shifts", "has_room"]

_SLACK_PX = 1e-9  # a quarter turn is rounded too; it must not push a window over the edge

Reals = NDArray[np.floating[Any]]


def draw_angles(n: int, study_seed: int) -> NDArray[np.float64]:
    """(n,) angles [rad], uniform in [0, 2 pi); of the study only, not of the trial."""
    return np.random.default_rng(derive(study_seed, "recut", "rotation")).uniform(0, 2 * np.pi, n)


def draw_shifts(n: int, study_seed: int) -> NDArray[np.float64]:
    """(n, 2) shifts along rows and columns [px], uniform in [-1, 1); of the study only."""
    return np.random.default_rng(derive(study_seed, "recut", "jitter")).uniform(-1, 1, (n, 2))


def has_room(
    yx_px: Reals,
    size_px: int,
    shape: tuple[int, int],
    *,
    angle_rad: Reals | None = None,
    shift_px: Reals | None = None,
) -> NDArray[np.bool_]:
    """(n,) whether all pixels of a turned or shifted window have a place in the image.

    A smaller window round the same key point, with the same pose, then has its place too, whether
    its edge is odd or even.

    Args:
        yx_px: (n, 2) key points [px].
        size_px: edge of the window [px].
        shape: of the image (height, width) [px].
        angle_rad: (n,) turns about the centre of the window [rad]; 0 if left out.
        shift_px: (n, 2) shifts of the window along rows and columns [px]; 0 if left out.
    """
    half = (size_px - 1) / 2
    centre = first_pixel(yx_px, size_px) + half
    if shift_px is not None:
        centre = centre + shift_px
    reach = np.full((len(centre), 1), half)
    if angle_rad is not None:  # half the height, and width, of a turned square
        reach = reach * (np.abs(np.cos(angle_rad)) + np.abs(np.sin(angle_rad)))[:, None]
    last = np.asarray(shape) - 1
    inside = (centre - reach >= -_SLACK_PX) & (centre + reach <= last + _SLACK_PX)
    return np.asarray(inside.all(axis=1))
