"""Bright (or dark) spots: atomic columns in STEM frames."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy import ndimage

from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.stages.keypoints.base import KeypointDetector

__all__ = ["LocalMaxima"]


class LocalMaxima(KeypointDetector, kind="local-maxima"):
    """Local extrema of the smoothed image."""

    sigma_px: NonNegativeFloat = 2.0
    """width of the Gaussian that smooths the image first [px]"""
    spacing_px: PositiveInt = 5
    """least distance between two key points along rows or columns [px]"""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """least height above the darkest place of the smoothed image [its range]"""
    polarity: Literal["bright", "dark"] = "bright"
    """whether spots are brighter or darker than what is round them"""

    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """Extrema, strongest first; strength is the smoothed grey value above the darkest."""
        from skimage.feature import peak_local_max

        smooth = ndimage.gaussian_filter(np.asarray(micrograph.pixels, np.float64), self.sigma_px)
        height = smooth - smooth.min() if self.polarity == "bright" else smooth.max() - smooth
        least = self.threshold * float(height.max())
        yx = peak_local_max(
            height, min_distance=self.spacing_px, threshold_abs=least, exclude_border=False
        )
        strength = height[yx[:, 0], yx[:, 1]]
        return KeyPoints(yx_px=yx.astype(np.float64), strength=strength)
