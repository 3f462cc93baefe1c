"""What the training loop asks of whatever does an epoch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.decoder import runs_native
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.subset import draw_pixels

__all__ = ["Draws", "Epoch", "Job", "Trainer", "few_threads"]


@dataclass(frozen=True)
class Job:
    """Trainings that share settings and patches, and differ by their seeds."""

    settings: VaeSettings
    data: Tensor
    """(n_patches, n_pixels) float32 on the device that trains; jobs on the same patches share it"""
    size_px: int
    """edge of a patch"""
    seeds: tuple[Seeds, ...]
    """of each member"""


class Trainer(Protocol):
    """Some trainings side by side: the members of one job, or of several that may be stacked."""

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """One pass over shuffled patches for each of some members.

        Args:
            members: those that train, in rising order; one that is left out never comes back.
            learning_rate: of all steps of this epoch.

        Returns:
            Mean loss per patch [nats] of each of them; nan where the loss or a weight is no longer
            finite.
        """

    def weights(self, member: int) -> dict[str, Tensor]:
        """What a member had learnt at the end of its last epoch with a finite result.

        The trainer keeps that itself: nobody asks after every epoch, which would wait for the
        device and copy all weights to the host.

        Args:
            member: one that has not been left out of an epoch.

        Returns:
            A copy by the names of :class:`InvariantVae`, on any device; the first weights where no
            epoch had a finite result.
        """


class Epoch(NamedTuple):
    """All random numbers of an epoch of one member, on the CPU."""

    order: Tensor
    """(n_patches,) which patch comes when"""
    noise: Tensor
    """(n_patches, n_latents) standard normal, in that order"""
    pixels: Tensor | None
    """(steps, k) which pixels each step looks at; all of them where there is none"""


class Draws:
    """Random numbers of one member, whoever trains it; every device sees the same ones."""

    def __init__(self, settings: VaeSettings, seeds: Seeds) -> None:
        self._generator = torch.Generator().manual_seed(seeds.integer("vae-noise"))
        self._settings = settings

    def epoch(self, n_patches: int, n_pixels: int) -> Epoch:
        """Those of the next epoch."""
        settings, generator = self._settings, self._generator
        order = torch.randperm(n_patches, generator=generator)
        n_latents = settings.n_codes + settings.latent_dim
        noise = torch.randn(n_patches, n_latents, generator=generator)
        steps = -(-n_patches // settings.batch_size)
        return Epoch(order, noise, draw_pixels(steps, n_pixels, settings.pixels, generator))


@contextmanager
def few_threads(settings: VaeSettings, device: torch.device) -> Iterator[int]:
    """One thread for torch where its products are too small to share; yields those of the kernel.

    That is the case of a vanilla decoder, and of all that is left to torch where the compiled
    kernel runs. Measured on two cores while another process kept one of them busy: a vanilla step
    takes 52 ms on two threads and 2.4 ms on one (13 px, batch 64); a step with rotation and
    translation, 190 ms on two and 4.8 ms on one with two for the kernel (8 px, batch 128).
    """
    before = torch.get_num_threads()
    if not settings.invariances or runs_native(settings.engine, settings.precision, device):
        torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
