"""The places that a rendered image brings along: those that a good detector would find."""

from pathlib import Path

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.stages.keypoints.base import KeypointDetector

__all__ = ["Given"]


class Given(KeypointDetector, kind="given"):
    """The places that a rendered image brings along."""

    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """Places in the order of the image, strength 1.

        Raises:
            DataError: the image is not a rendered one.
        """
        if micrograph.yx_px is None:
            raise DataError(
                f"the image {micrograph.name!r} brings no places along; only rendered ones do",
                setting="workflow.keypoints.kind",
                remedy="choose canny, local-maxima, grid or csv",
            )
        yx = np.array(micrograph.yx_px, dtype=np.float64)
        return KeyPoints(yx_px=yx, strength=np.ones(len(yx)))
