"""What every density filter is."""

from abc import abstractmethod

import torch

from vaeopt.core.settings import Plugin
from vaeopt.core.types import Bools, Floats
from vaeopt.kernels.device import resolve_device

__all__ = ["DensityFilter", "device_of_pairs"]


class DensityFilter(Plugin, family="density_filter"):
    """Decides which patches are dense enough to take part in the mixture fit."""

    @abstractmethod
    def __call__(self, z: Floats) -> Bools:
        """(n,) whether each of the latents (n, d) is kept."""

    @abstractmethod
    def count(self, n_points: int) -> int:
        """How many of n points a study may count on: fixes the size of every mixture fit."""


def device_of_pairs(wish: str, n_points: int) -> torch.device:
    """Where every one of so many points is compared with all others."""
    return resolve_device(wish, setting="workflow.density_filter.device", numbers=n_points**2)
