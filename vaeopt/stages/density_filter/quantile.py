"""Default: drop a fixed share of the sparsest points, so that the number kept never varies."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from vaeopt.core.types import Bools, Floats
from vaeopt.kernels.density import log_density_loo, scott_bandwidth
from vaeopt.kernels.device import DEVICE_PATTERN
from vaeopt.stages.density_filter.base import DensityFilter, device_of_pairs

__all__ = ["Quantile"]


class Quantile(DensityFilter, kind="quantile"):
    """semantics 4.1: leave-one-out Gaussian KDE on standardised latents, Scott bandwidth."""

    drop: Annotated[float, Field(ge=0, lt=1)] = 0.10
    """share of the points that is dropped; scores with different shares never compare"""
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    """auto (a GPU where there is one and the points are many), cpu, or cuda:N"""

    def __call__(self, z: Floats) -> Bools:
        """Keep the ceil((1 - drop) n) densest points, ties to the lower index."""
        n, d = z.shape
        spread = z.std(axis=0)
        scaled = (z - z.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        device = device_of_pairs(self.device, n)
        density = log_density_loo(scaled, scott_bandwidth(n, d), device=device)
        kept = np.zeros(n, dtype=bool)
        kept[np.argsort(-density, kind="stable")[: self.count(n)]] = True
        return kept

    def count(self, n_points: int) -> int:
        """ceil((1 - drop) n), guarded against binary fractions: 0.9 * 10 is 9, not 10."""
        return math.ceil((1 - self.drop) * n_points - 1e-9)
