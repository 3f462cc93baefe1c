"""What every density filter is."""

from abc import abstractmethod

from vaeopt.core.settings import Plugin
from vaeopt.core.types import Bools, Floats

__all__ = ["DensityFilter"]


class DensityFilter(Plugin, family="density_filter"):
    """Decides which patches are dense enough to take part in the mixture fit."""

    @abstractmethod
    def __call__(self, z: Floats) -> Bools:
        """(n,) whether each of the latents (n, d) is kept."""

    @abstractmethod
    def count(self, n_points: int) -> int:
        """How many of n points a study may count on: fixes the size of every mixture fit."""
