"""No filter."""

import numpy as np

from vaeopt.core.types import Bools, Floats
from vaeopt.stages.density_filter.base import DensityFilter

__all__ = ["Everything"]


class Everything(DensityFilter, kind="none"):
    """Keeps every point."""

    def __call__(self, z: Floats) -> Bools:
        """All of them."""
        return np.ones(len(z), dtype=bool)

    def count(self, n_points: int) -> int:
        """All of them."""
        return n_points
