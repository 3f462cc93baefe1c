"""Members of many trials in the kernels of :mod:`vaeopt.kernels.training.gpu`."""

import functools
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaeopt.kernels.training import Recipe
from vaeopt.kernels.training.gpu import why_not
from vaeopt.kernels.training.gpu.inputs import Draw, Member, Prepared
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.subset import subset_size
from vaeopt.stages.vae.trainers.base import Draws, Job
from vaeopt.stages.vae.trainers.recipes import COMPILED, recipe_of

if TYPE_CHECKING:
    from vaeopt.kernels.training.gpu.program import Program

__all__ = ["GpuTrainer"]

_log = logging.getLogger(__name__)


class GpuTrainer:
    """Trains members of one or several jobs in one program.

    The next epoch's random numbers are drawn while the device does this one.

    Args:
        jobs: may differ in windows, invariances (but not in whether there are any), latents, prior
            and KL weight; see :meth:`runs`.
    """

    def __init__(self, *jobs: Job) -> None:
        members = [(job, seeds) for job in jobs for seeds in job.seeds]
        self._draws = [Draws(job.settings, seeds) for job, seeds in members]
        self._shapes = [tuple(job.data.shape) for job, _ in members]
        self._program = _program(jobs)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vaeopt-draws")
        self._next: Future[Prepared] | None = None
        self._next_members: list[int] = []

    @staticmethod
    def runs(settings: VaeSettings, size_px: int, device: torch.device) -> bool:
        """Whether there are kernels for these settings; says once why not if they were asked for.

        On the CPU only if they were asked for, and under Triton's interpreter.
        """
        if settings.engine not in ("auto", "triton"):
            return False
        if settings.engine == "auto" and device.type != "cuda":
            return False
        obstacle = _obstacle(settings, size_px, device)
        if obstacle and settings.engine == "triton":
            _say_once(obstacle)
        elif obstacle:
            _log.debug("no Triton kernels for these settings: %s", obstacle)
        return not obstacle

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """See :class:`Trainer`."""
        chosen = list(members)
        drawn = self._drawn(chosen)
        self._next, self._next_members = self._thread.submit(self._prepare, chosen), chosen
        losses = self._program.epoch(drawn, learning_rate=learning_rate)
        return [losses[member] for member in chosen]

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        return self._program.weights(member)

    def _drawn(self, members: list[int]) -> Prepared:
        """Of this epoch; what was drawn for members that have left is left aside."""
        if self._next is None:
            return self._prepare(members)
        prepared = self._next.result()
        return prepared if self._next_members == members else prepared.of(members)

    def _prepare(self, members: list[int]) -> Prepared:
        epochs = {member: self._draws[member].epoch(*self._shapes[member]) for member in members}
        return self._program.prepare(
            {m: Draw(epoch.order, epoch.noise, epoch.pixels) for m, epoch in epochs.items()}
        )


def _obstacle(settings: VaeSettings, size_px: int, device: torch.device) -> str:
    if not set(settings.invariances) <= COMPILED:
        return "an invariance of your own has no kernel"
    return why_not(_recipe(settings, size_px, device), device)


def _recipe(settings: VaeSettings, size_px: int, device: torch.device) -> Recipe:
    auto = settings.precision == "auto" and device.type == "cuda"
    return recipe_of(settings, size_px, bf16=settings.precision == "bf16" or auto)


def _program(jobs: Sequence[Job]) -> "Program":
    # Triton is imported when it is needed, and is not there everywhere.
    from vaeopt.kernels.training.gpu.program import Program

    members = []
    for job in jobs:
        settings, size_px = job.settings, job.size_px
        recipe = _recipe(settings, size_px, job.data.device)
        for seeds in job.seeds:
            weights = build(settings, size_px, seed=seeds.integer("vae-weights")).state_dict()
            seen = subset_size(size_px**2, settings.pixels)
            members.append(Member(recipe, weights, job.data, seen))
    return Program(members)


@functools.cache
def _say_once(obstacle: str) -> None:
    _log.warning("engine 'triton' cannot run, 'fast' does: %s", obstacle)
