"""Key points as a classical descriptor of their windows sees them (semantics 8.5)."""

import warnings

import numpy as np

from vaeopt.core.types import Floats, Ints, KeyPoints, Look, Micrograph
from vaeopt.kernels.descriptor import describe, most_alike

__all__ = ["COMPONENTS", "look_at"]

COMPONENTS = range(2, 9)
"""numbers of components K that key points are parted into"""

_ALIKE = 10
_FEATURES = 4  # principal components that are parted; more would take more points than scans have
_STARTS = 4
_REG_COVAR = 1e-4  # of the variance of the first component
_SMALLEST_PX = 3


def look_at(micrograph: Micrograph, keypoints: KeyPoints, *, largest_window_px: int) -> Look:
    """Describe the windows of all key points, and part them.

    Args:
        micrograph: the image.
        keypoints: n of them.
        largest_window_px: of the study: the same windows for all trials, whatever their own [px].

    Returns:
        For each key point the ten most alike whose windows do not overlap with its own; and a
        partition for every K of ``COMPONENTS`` for which there are points enough.
    """
    size = max(_SMALLEST_PX, largest_window_px)
    features = describe(micrograph.pixels, keypoints.yx_px, size)
    return Look(
        alike=most_alike(features, keypoints.yx_px, _ALIKE, apart_px=largest_window_px),
        labels=_parted(features[:, :_FEATURES]),
    )


def _parted(features: Floats) -> dict[int, Ints]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    n, d = features.shape
    spread = features[:, 0].std() if d else 0.0
    if spread == 0:
        return {}
    scaled, found = features / spread, dict[int, Ints]()
    with warnings.catch_warnings(), threadpool_limits(1):  # the same labels on any machine
        warnings.simplefilter("ignore", ConvergenceWarning)  # still a partition
        for k in COMPONENTS:
            if n >= k * (d + 1):
                mixture = GaussianMixture(k, n_init=_STARTS, random_state=0, reg_covar=_REG_COVAR)
                found[k] = np.asarray(mixture.fit_predict(scaled), dtype=np.int64)
    return found
