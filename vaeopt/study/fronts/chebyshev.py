"""How far a point is from the ideal one, on objectives that are scaled to [0, 1]."""

import numpy as np

from vaeopt.core.types import Floats

__all__ = ["AUGMENTATION", "chebyshev", "scaled"]

AUGMENTATION = 0.05
"""weight of the sum beside the maximum: of points with equal maximum the lower sum is nearer"""


def scaled(values: Floats, extremes: Floats | None = None) -> Floats:
    """Costs mapped so that the extremes become 0 and 1; an objective without a range becomes 0.

    Args:
        values: (n, m) costs, lower is better.
        extremes: (k, m) costs whose least and largest give the scale; ``values`` if left out.

    Returns:
        (n, m), in [0, 1] where a value lies between the extremes.
    """
    frame = values if extremes is None else extremes
    low, high = frame.min(axis=0), frame.max(axis=0)
    return np.asarray((values - low) / np.where(high > low, high - low, 1.0) * (high > low))


def chebyshev(points: Floats, weights: Floats, *, augmentation: float = AUGMENTATION) -> Floats:
    """Augmented Chebyshev distance from the origin (semantics 9.5).

    Args:
        points: (..., m) scaled costs.
        weights: (..., m), not negative; broadcast against ``points``.
        augmentation: of the weighted sum.

    Returns:
        (...): max_m v_m f_m + augmentation * sum_m v_m f_m, at least 0 for points above 0.
    """
    weighted = points * weights
    return np.asarray(weighted.max(axis=-1) + augmentation * weighted.sum(axis=-1))
