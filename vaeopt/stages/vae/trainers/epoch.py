"""An epoch of a stack as a device does it: on fixed arrays, and nothing that the host waits for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeopt.kernels.elbo import fast as elbo
from vaeopt.kernels.graphs import Inbox
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.subset import subset_size
from vaeopt.stages.vae.trainers.base import Epoch
from vaeopt.stages.vae.trainers.networks import StackedEncoder, StackedVanilla
from vaeopt.stages.vae.trainers.spatial import StackedSpatial
from vaeopt.stages.vae.trainers.stack import Scratch, Stack

__all__ = ["StackedEpoch", "Task"]


@dataclass(frozen=True)
class Task:
    """What all members of a trainer share."""

    settings: VaeSettings
    pool: Tensor
    """(rows, n_pixels) patches of all jobs, on the device that trains"""
    n_patches: int
    """of each member"""
    size_px: int
    at_once: bool
    """see :class:`StackedSpatial`"""
    scratch: Scratch
    records: bool
    """whether the device replays epochs while the host is free"""


class StackedEpoch:
    """The same work again and again: :meth:`fill` is for the host, :meth:`run` for the device.

    Args:
        task: what the members share.
        stack: their weights.
        first_rows: where the patches of each member begin in the pool.
    """

    def __init__(self, task: Task, stack: Stack, first_rows: Sequence[int]) -> None:
        settings, pool = task.settings, task.pool
        members, n, n_pixels = len(first_rows), task.n_patches, pool.shape[1]
        self.stack = stack
        self._task, self._first_rows = task, list(first_rows)
        self._size = settings.batch_size
        self._encoder = StackedEncoder(stack, settings, task.scratch)
        self._decoder: StackedSpatial | StackedVanilla
        if settings.invariances:
            self._decoder = StackedSpatial(stack, settings, task.size_px, at_once=task.at_once)
        else:
            self._decoder = StackedVanilla(stack, settings, task.scratch)
        n_latents = settings.n_codes + settings.latent_dim
        self._order = Inbox((members, n), torch.int64, pool.device)
        self._noise = Inbox((members, n, n_latents), pool.dtype, pool.device)
        self._pixels: Inbox | None = None
        if settings.pixels < 1:
            steps = -(-n // self._size)
            shape = (members, steps, subset_size(n_pixels, settings.pixels))
            self._pixels = Inbox(shape, torch.int64, pool.device)
        self._rate = pool.new_zeros(())
        self._total = pool.new_zeros(members)
        self.losses = pool.new_zeros(members)
        """mean loss per patch of each member [nats], after a run; nan where it has diverged"""

    def fill(self, drawn: Sequence[Epoch], learning_rate: float) -> None:
        """Put in what the next run is to use."""
        rows = zip(drawn, self._first_rows, strict=True)
        self._order.fill([epoch.order + first for epoch, first in rows])
        self._noise.fill([epoch.noise for epoch in drawn])
        if self._pixels is not None:
            self._pixels.fill([epoch.pixels for epoch in drawn if epoch.pixels is not None])
        self._rate.fill_(learning_rate)

    def use_threads(self, threads: int) -> None:
        """So many for the compiled kernel."""
        if isinstance(self._decoder, StackedSpatial):
            self._decoder.threads = threads

    def run(self) -> None:
        """One epoch of every member."""
        n, size = self._task.n_patches, self._size
        self._total.zero_()
        # Step by step rather than by a shape of its own for all: the last batch may be smaller.
        for step, first in enumerate(range(0, n, size)):
            batch = slice(first, first + size)
            pixels = None if self._pixels is None else self._pixels.tensor[:, step]
            rows, noise = self._order.tensor[:, batch], self._noise.tensor[:, batch]
            self._total += self._step(rows, noise, pixels)
        good = self._total.isfinite().logical_and_(self.stack.finite())
        self.stack.remember(good)
        torch.div(self._total, n, out=self.losses).masked_fill_(good.logical_not(), torch.nan)

    def _step(self, rows: Tensor, noise: Tensor, pixels: Tensor | None) -> Tensor:
        """Loss of a batch of each member before the step, summed over patches, (members,)."""
        task, settings, (members, n) = self._task, self._task.settings, rows.shape
        patches = task.scratch("patches", members, n, task.pool.shape[1])
        torch.index_select(task.pool, 0, rows.reshape(-1), out=patches.view(members * n, -1))
        mean, std = self._encoder.forward(patches)
        sample = torch.addcmul(mean, std, noise)
        nll, by_mean = self._decoder(sample, patches, pixels)
        kappa = settings.kl_scale * task.size_px**2
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
        self.stack.step(self._rate)
        return nll + kappa * kl.sum((1, 2))
