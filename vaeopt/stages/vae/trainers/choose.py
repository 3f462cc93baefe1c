"""Which trainer does the epochs."""

from collections.abc import Hashable, Sequence

import torch

from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Job, Trainer
from vaeopt.stages.vae.trainers.eager import EagerTrainer
from vaeopt.stages.vae.trainers.native import NativeTrainer
from vaeopt.stages.vae.trainers.stacked import StackedTrainer

__all__ = ["choose_trainer", "stack_key"]

_CACHED_MEMBERS = 8  # more of them are slower again: their weights no longer fit into the cache


def stack_key(job: Job) -> Hashable | None:
    """What jobs must have in common to share a trainer; None: this one trains alone."""
    return None


def choose_trainer(jobs: Sequence[Job]) -> Trainer:
    """The fastest trainer for these members (``docs/benchmarks.md``, "Stacked members").

    Args:
        jobs: one, or several of equal :func:`stack_key`; members are numbered through all of them
            in order. ``engine = "reference"`` asks for the readable trainer.
    """
    (job,) = jobs
    settings, device = job.settings, job.data.device
    if NativeTrainer.runs(settings, device):
        return NativeTrainer(job)
    if settings.engine == "reference" or settings.pixels < 1:
        return EagerTrainer(job)
    if device.type == "cuda":
        needed = _activation_bytes(settings, job.size_px, len(job.seeds))
        return StackedTrainer(job, at_once=needed < _free_bytes(device) / 2)
    return StackedTrainer(job, group=_CACHED_MEMBERS)


def _activation_bytes(settings: VaeSettings, size_px: int, n_members: int) -> int:
    """Of the pixels of all members in a spatial decoder: values, and slopes on the way back."""
    n_pixels = n_members * settings.batch_size * size_px**2
    return 4 * n_pixels * settings.width * (2 * settings.depth + 4)


def _free_bytes(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0]
    return free
