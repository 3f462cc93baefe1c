"""What every detector is, and the margin and checks that all share."""

from abc import abstractmethod
from pathlib import Path

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.settings import Plugin
from vaeopt.core.types import Floats, KeyPoints, Micrograph
from vaeopt.kernels.crop import fits

__all__ = ["KeypointDetector", "detect", "thin"]


class KeypointDetector(Plugin, family="keypoints"):
    """Finds places on an image; deterministic, so that a study sees the same ones for ever."""

    @abstractmethod
    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """All candidate positions on the whole image, in reading order or by strength.

        Args:
            micrograph: the image.
            folder: where relative paths of the settings start.
        """


def detect(
    detector: KeypointDetector,
    micrograph: Micrograph,
    *,
    largest_window_px: int,
    folder: Path = Path(),
) -> KeyPoints:
    """Key points whose largest window lies inside the image (semantics 1.1).

    Args:
        detector: which places.
        micrograph: the image.
        largest_window_px: largest window of everything that is to be compared; a margin for
            each window of its own would change the number of points and confound every score.
        folder: where relative paths of the detector's settings start.

    Raises:
        DataError: the image is smaller than the window, or no point is left.
    """
    height, width = micrograph.pixels.shape
    if largest_window_px > min(height, width):
        raise DataError(
            f"the largest window ({largest_window_px} px) does not fit the image "
            f"({height} x {width} px)",
            setting="patches.size_px",
            remedy="lower the window or the upper end of its search range",
        )
    found = detector.find(micrograph, folder=folder)
    inside = fits(found.yx_px, largest_window_px, (height, width))
    if not inside.any():
        raise DataError(
            f"the detector {detector.kind!r} found {len(found)} key points, none of them with "
            f"room for a window of {largest_window_px} px",
            setting="workflow.keypoints",
            remedy="loosen the detector's settings or choose another kind",
        )
    return KeyPoints(yx_px=found.yx_px[inside], strength=found.strength[inside])


def thin(yx_px: Floats, strength: Floats, spacing_px: float) -> KeyPoints:
    """Keep the strongest points that are at least ``spacing_px`` apart (Euclidean), greedily.

    Ties go to the earlier point, so that the result does not depend on the sort.
    """
    from scipy.spatial import cKDTree

    order = np.argsort(-strength, kind="stable")
    yx_px, strength = yx_px[order], strength[order]
    # Points at exactly the spacing stay: the ball is made a hair smaller.
    tree = cKDTree(yx_px)
    alive = np.ones(len(yx_px), dtype=bool)
    radius = spacing_px * (1 - 1e-9)
    for i in range(len(yx_px)):
        if alive[i] and radius > 0:
            close = np.asarray(tree.query_ball_point(yx_px[i], radius), dtype=np.int64)
            alive[close[close > i]] = False
    return KeyPoints(yx_px=yx_px[alive], strength=strength[alive])
