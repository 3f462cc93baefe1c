"""Members side by side: every operation of a step is done once for all of them.

A step of one small model is a hundred small operations, each of which costs more to start than to
do; and the gradients of encoder and vanilla decoder need no recorded graph.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.elbo import fast as elbo
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Draws, Job, few_threads
from vaeopt.stages.vae.trainers.networks import StackedEncoder, StackedVanilla
from vaeopt.stages.vae.trainers.spatial import StackedSpatial
from vaeopt.stages.vae.trainers.stack import Scratch, Stack

__all__ = ["StackedDecoder", "StackedTrainer"]


class StackedDecoder(Protocol):
    """The decoders of all members."""

    def __call__(self, sample: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and slopes; those of the weights are left in the stack.

        Args:
            sample: (members, n, n_latents).
            patches: (members, n, n_pixels).

        Returns:
            NLL summed over pixels and patches (members,) [nats]; slope of its mean over patches
            by the sample.
        """


class StackedTrainer:
    """Trains all members in one stacked step.

    Args:
        job: settings (steps look at all pixels), patches on the device that trains, and seeds.
        at_once: see :class:`StackedSpatial`.
        group: so many members per stack, and stacks one after the other: on a processor, as many
            as its cache holds the weights of; 0: one stack.
    """

    def __init__(self, job: Job, *, at_once: bool = False, group: int = 0) -> None:
        scratch = Scratch(job.data)
        every = range(len(job.seeds))
        size = group or len(every)
        self._groups = [
            _Group(
                job.settings,
                job.data,
                job.size_px,
                job.seeds,
                every[i : i + size],
                scratch,
                at_once,
            )
            for i in range(0, len(every), size)
        ]
        self._kept = {member: self._copy(member) for member in every}

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """See :class:`Trainer`."""
        losses: list[float] = []
        for group in self._groups:
            group.keep([member for member in group.members if member in members])
            losses += group.epoch(learning_rate)
        for member, loss in zip(members, losses, strict=True):
            if np.isfinite(loss):
                self._kept[member] = self._copy(member)
        return losses

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        return self._kept[member]

    def _copy(self, member: int) -> dict[str, Tensor]:
        group = next(group for group in self._groups if member in group.members)
        return group.stack.member(group.members.index(member))


class _Group:
    """One stack of members."""

    def __init__(
        self,
        settings: VaeSettings,
        data: Tensor,
        size_px: int,
        seeds: Sequence[Seeds],
        members: Sequence[int],
        scratch: Scratch,
        at_once: bool,
    ) -> None:
        self.members = list(members)
        self._settings, self._data, self._size_px = settings, data, size_px
        self._scratch, self._at_once = scratch, at_once
        self._draws = [Draws(settings, seeds[member]) for member in members]
        states = [
            build(settings, size_px, seed=seeds[member].integer("vae-weights")).state_dict()
            for member in members
        ]
        weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        self._put(Stack({name: value.to(data.device) for name, value in weights.items()}))

    def keep(self, members: list[int]) -> None:
        """Only these go on; what the others have learnt is forgotten."""
        if members == self.members:
            return
        positions = [self.members.index(member) for member in members]
        self.members = members
        self._draws = [self._draws[position] for position in positions]
        if members:
            self._put(self.stack.part(positions))

    @torch.no_grad()
    def epoch(self, learning_rate: float) -> list[float]:
        """One epoch of each member."""
        if not self.members:
            return []
        data = self._data
        n, device = len(data), data.device
        # One copy of all members each: nothing else waits for the host within an epoch.
        drawn = [draws.epoch(*data.shape) for draws in self._draws]
        order = torch.stack([epoch.order for epoch in drawn]).to(device)
        noise = torch.stack([epoch.noise for epoch in drawn]).to(device)
        total = torch.zeros(len(self.members), device=device)
        size = self._settings.batch_size
        with few_threads(self._settings, device) as threads:
            self._threads(threads)
            batches = torch.split(order, size, 1), torch.split(noise, size, 1)
            for rows, draws in zip(*batches, strict=True):
                total += self._step(rows, draws, learning_rate)
        losses = torch.where(self.stack.finite(), total / n, torch.nan)
        return [float(loss) for loss in losses.tolist()]

    def _step(self, rows: Tensor, noise: Tensor, learning_rate: float) -> Tensor:
        """Loss of a batch of each member before the step, summed over patches, (members,)."""
        settings, (members, n) = self._settings, rows.shape
        patches = self._scratch("patches", members, n, self._data.shape[1])
        torch.index_select(self._data, 0, rows.reshape(-1), out=patches.view(members * n, -1))
        mean, std = self._encoder.forward(patches)
        sample = torch.addcmul(mean, std, noise)
        nll, by_mean = self._decoder(sample, patches)
        kappa = settings.kl_scale * self._size_px**2
        by_std = by_mean * noise
        if settings.kl_estimator == "analytic":
            kl = elbo.kl_gaussian(mean, std)
            by_mean.add_(mean, alpha=kappa / n)
            by_std.add_(std - 1 / std, alpha=kappa / n)
        else:
            kl = elbo.kl_sampled(sample, noise, std)
            by_mean.add_(sample, alpha=kappa / n)
            by_std.addcmul_(sample, noise, value=kappa / n).sub_(1 / std, alpha=kappa / n)
        self._encoder.backward(by_mean, by_std)
        self.stack.step(learning_rate)
        return nll + kappa * kl.sum((1, 2))

    def _put(self, stack: Stack) -> None:
        settings, scratch = self._settings, self._scratch
        self.stack = stack
        self._encoder = StackedEncoder(stack, settings, scratch)
        self._decoder: StackedSpatial | StackedVanilla
        if settings.invariances:
            self._decoder = StackedSpatial(stack, settings, self._size_px, at_once=self._at_once)
        else:
            self._decoder = StackedVanilla(stack, settings, scratch)

    def _threads(self, threads: int) -> None:
        if isinstance(self._decoder, StackedSpatial):
            self._decoder.threads = threads
