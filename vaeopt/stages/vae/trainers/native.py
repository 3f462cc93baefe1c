"""Whole epochs in compiled code, members spread over threads: the fastest on a processor."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vaeopt.kernels import training
from vaeopt.kernels.decoder import runs_native
from vaeopt.kernels.decoder.native import bf16_pays
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Draws, Job
from vaeopt.stages.vae.trainers.recipes import COMPILED, recipe_of

__all__ = ["NativeTrainer"]


class NativeTrainer:
    """Trains members with the kernels of :mod:`vaeopt.kernels.training`.

    Args:
        job: settings (see :meth:`runs`), patches on the CPU, and seeds.
    """

    def __init__(self, job: Job) -> None:
        settings, size_px = job.settings, job.size_px
        bf16 = settings.precision == "bf16" or (settings.precision == "auto" and bf16_pays())
        self._recipe = recipe_of(settings, size_px, bf16=bf16)
        self._data = job.data.contiguous()
        self._draws = [Draws(settings, own) for own in job.seeds]
        self._members = [
            training.Member(
                self._recipe,
                build(settings, size_px, seed=own.integer("vae-weights")).state_dict(),
            )
            for own in job.seeds
        ]
        self._kept = [member.state[0].clone() for member in self._members]

    @staticmethod
    def runs(settings: VaeSettings, device: torch.device) -> bool:
        """Whether there are kernels for these settings: invariances of the user's own have none."""
        if not runs_native(settings.engine, settings.precision, device):
            return False
        return set(settings.invariances) <= COMPILED

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """See :class:`Trainer`."""
        chosen = [self._members[member] for member in members]
        drawn = [self._draws[member].epoch(*self._data.shape) for member in members]
        losses = training.train(
            self._recipe,
            chosen,
            self._data,
            [epoch.order for epoch in drawn],
            [epoch.noise for epoch in drawn],
            [epoch.pixels for epoch in drawn],
            learning_rate=learning_rate,
            threads=self._threads(len(members)),
        )
        found = [
            loss / len(self._data) if member.is_finite() else float("nan")
            for member, loss in zip(chosen, losses, strict=True)
        ]
        for number, loss in zip(members, found, strict=True):
            if np.isfinite(loss):
                self._kept[number].copy_(self._members[number].state[0])
        return found

    def _threads(self, n_members: int) -> int:
        """A vanilla step is too short to share: two cores need 1.2 times as long as one for it."""
        available = torch.get_num_threads()
        return available if self._recipe.is_spatial else min(available, n_members)

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        return self._members[member].named(self._kept[member])
