"""Which trainer does the epochs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Trainer
from vaeopt.stages.vae.trainers.eager import EagerTrainer
from vaeopt.stages.vae.trainers.native import NativeTrainer
from vaeopt.stages.vae.trainers.stacked import StackedTrainer

__all__ = ["choose_trainer"]

_CACHED_MEMBERS = 8  # more of them are slower again: their weights no longer fit into the cache


def choose_trainer(
    settings: VaeSettings, data: Tensor, size_px: int, seeds: Sequence[Seeds]
) -> Trainer:
    """The fastest trainer for these members (``docs/benchmarks.md``, "Stacked members").

    Args:
        settings: of all members; ``engine = "reference"`` asks for the readable one.
        data: (n_patches, n_pixels) on the device that trains.
        size_px: edge of a patch.
        seeds: of each member.
    """
    if NativeTrainer.runs(settings, data.device):
        return NativeTrainer(settings, data, size_px, seeds)
    if settings.engine == "reference" or settings.pixels < 1:
        return EagerTrainer(settings, data, size_px, seeds)
    if data.device.type == "cuda":
        at_once = _activation_bytes(settings, size_px, len(seeds)) < _free_bytes(data.device) / 2
        return StackedTrainer(settings, data, size_px, seeds, at_once=at_once)
    return StackedTrainer(settings, data, size_px, seeds, group=_CACHED_MEMBERS)


def _activation_bytes(settings: VaeSettings, size_px: int, n_members: int) -> int:
    """Of the pixels of all members in a spatial decoder: values, and slopes on the way back."""
    n_pixels = n_members * settings.batch_size * size_px**2
    return 4 * n_pixels * settings.width * (2 * settings.depth + 4)


def _free_bytes(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0]
    return free
