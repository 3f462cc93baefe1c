"""Places on an image that a detector of edges would find."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["steep_places"]

_LEAST = 0.25


def steep_places(
    pixels: NDArray[np.floating[Any]], *, sigma_px: float, spacing_px: float
) -> NDArray[np.float64]:
    """Local maxima of the slope, the steepest first, at least ``spacing_px`` apart.

    Args:
        pixels: (height, width).
        sigma_px: width of the Gaussian that smooths the image first [px].
        spacing_px: least distance between two places [px].

    Returns:
        (n, 2) rows and columns [px], whole numbers.
    """
    slope = ndimage.gaussian_gradient_magnitude(np.asarray(pixels, dtype=np.float64), sigma_px)
    peaks = slope == ndimage.maximum_filter(slope, size=3)
    # Ridges of the slope, not only their summits: along a wall there are few of those.
    ridge = slope >= ndimage.percentile_filter(slope, 70, size=7)
    found = np.argwhere((peaks | ridge) & (slope > _LEAST * np.quantile(slope, 0.95)))
    order = np.argsort(-slope[tuple(found.T)], kind="stable")
    yx = found[order].astype(np.float64)
    tree = cKDTree(yx)
    free = np.ones(len(yx), dtype=bool)
    for i in range(len(yx)):
        if free[i]:
            close = np.asarray(tree.query_ball_point(yx[i], spacing_px * (1 - 1e-9)))
            free[close[close > i]] = False
    return yx[free]
