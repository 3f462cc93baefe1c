"""Domain walls and other edges (Canny 1986), thinned to a spacing; the paper's choice."""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from scipy import ndimage

from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.stages.keypoints.base import KeypointDetector, thin

__all__ = ["Canny"]


class Canny(KeypointDetector, kind="canny"):
    """Points on Canny edges, the steepest first, at least ``spacing_px`` apart."""

    sigma_px: PositiveFloat = 3.0
    """width of the Gaussian that smooths the image first [px]"""
    spacing_px: NonNegativeFloat = 5.0
    """least distance between two key points [px]"""
    low_threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """edges with a smaller Sobel magnitude are dropped [8 x image range / px]"""
    high_threshold: Annotated[float, Field(ge=0, le=1)] = 0.2
    """edges must reach this Sobel magnitude somewhere [8 x image range / px]"""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_threshold > self.high_threshold:
            raise ValueError("low_threshold must not exceed high_threshold")
        return self

    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """Thinned edge points; strength is the gradient of the smoothed image [1/px]."""
        from skimage.feature import canny

        image = np.asarray(micrograph.pixels, dtype=np.float64)
        edges = canny(
            image,
            sigma=self.sigma_px,
            low_threshold=self.low_threshold,
            high_threshold=self.high_threshold,
        )
        slope = ndimage.gaussian_gradient_magnitude(image, self.sigma_px)
        yx = np.argwhere(edges).astype(np.float64)
        return thin(yx, slope[edges], self.spacing_px)
