"""A regular grid: every place counts the same."""

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.stages.keypoints.base import KeypointDetector

__all__ = ["Grid"]


class Grid(KeypointDetector, kind="grid"):
    """Points on a square grid, centred on the image."""

    spacing_px: PositiveInt = 8
    """distance between neighbours along rows and columns [px]"""

    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """Grid points in reading order, strength 1."""
        axes = [
            np.arange((n - 1) % self.spacing_px // 2, n, self.spacing_px, dtype=np.float64)
            for n in micrograph.pixels.shape
        ]
        yx = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        return KeyPoints(yx_px=yx, strength=np.ones(len(yx)))
