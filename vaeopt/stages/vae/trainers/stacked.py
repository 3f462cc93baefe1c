"""Members side by side: every operation of a step is done once for all of them.

A step of one small model is a hundred small operations, each of which costs more to start than to
do; and the gradients of encoder and vanilla decoder need no recorded graph. On a GPU, a whole epoch
is one CUDA graph: the host puts in the random numbers, starts it, and waits for the losses.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.graphs import Captured
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.trainers.base import Draws, Epoch, Job, few_threads
from vaeopt.stages.vae.trainers.epoch import StackedEpoch, Task
from vaeopt.stages.vae.trainers.stack import Scratch, Stack

__all__ = ["StackedTrainer"]

# Members that leave a stack on a GPU stay in it until no more than this share trains: to record
# anew, the host goes through a whole epoch twice.
_WORTH = 3 / 4


class StackedTrainer:
    """Trains all members in one stacked step.

    Args:
        jobs: of equal settings and windows, and with equally many patches.
        at_once: see :class:`StackedSpatial`.
        group: so many members per stack, and stacks one after the other: on a processor, as many
            as its cache holds the weights of; 0: one stack.
    """

    def __init__(self, *jobs: Job, at_once: bool = False, group: int = 0) -> None:
        first, (pool, starts) = jobs[0], _pool([job.data for job in jobs])
        settings, device = first.settings, pool.device.type
        if settings.precision == "auto" and device != "cpu":
            settings = settings.model_copy(update={"precision": "bf16"})
        task = Task(
            settings=settings,
            pool=pool,
            n_patches=len(first.data),
            size_px=first.size_px,
            at_once=at_once,
            scratch=Scratch(pool),
            records=device == "cuda",
        )
        every = [
            _Member(seeds, Draws(settings, seeds), start)
            for job, start in zip(jobs, starts, strict=True)
            for seeds in job.seeds
        ]
        numbers, size = range(len(every)), group or len(every)
        self._groups = [
            _Group(task, {number: every[number] for number in numbers[i : i + size]})
            for i in range(0, len(every), size)
        ]

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """See :class:`Trainer`."""
        losses: list[float] = []
        for group in self._groups:
            group.keep([member for member in group.members if member in members])
            losses += group.epoch(learning_rate)
        return losses

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        group = next(group for group in self._groups if member in group.members)
        return group.weights(member)


class _Member(NamedTuple):
    """What is its own."""

    seeds: Seeds
    draws: Draws
    first_row: int


class _Group:
    """One stack of members."""

    def __init__(self, task: Task, members: Mapping[int, _Member]) -> None:
        self.members = list(members)
        """those that train, by their numbers in the trainer"""
        self._task = task
        self._stacked = dict(members)  # in the order of the stack
        self._ahead: list[Epoch] = []
        seeds = [member.seeds.integer("vae-weights") for member in members.values()]
        states = [build(task.settings, task.size_px, seed=seed).state_dict() for seed in seeds]
        weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        self._put(Stack({name: value.to(task.pool.device) for name, value in weights.items()}))

    def keep(self, members: Sequence[int]) -> None:
        """Only these go on; what the others have learnt may be forgotten."""
        self.members = list(members)
        most = len(self._stacked) * (_WORTH if self._task.records else 1)
        if not members or len(members) == len(self._stacked) or len(members) > most:
            return
        positions = [list(self._stacked).index(member) for member in members]
        self._stacked = {member: self._stacked[member] for member in members}
        self._ahead = [self._ahead[position] for position in positions] if self._ahead else []
        self._put(self.stack.part(positions))

    @torch.no_grad()
    def epoch(self, learning_rate: float) -> list[float]:
        """One epoch of each member."""
        if not self.members:
            return []
        self._epoch.fill(self._ahead or self._draw(), learning_rate)
        with few_threads(self._task.settings, self._task.pool.device) as threads:
            self._epoch.use_threads(threads)
            self._work()
        if self._task.records:  # the device is still at work
            self._ahead = self._draw()
        losses = self._epoch.losses.tolist()  # the host waits here, and nowhere else
        found = dict(zip(self._stacked, losses, strict=True))
        return [float(found[member]) for member in self.members]

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        return self.stack.member(list(self._stacked).index(member))

    @property
    def stack(self) -> Stack:
        """Weights of the members, and of some that have left."""
        return self._epoch.stack

    def _draw(self) -> list[Epoch]:
        n, n_pixels = self._task.n_patches, self._task.pool.shape[1]
        return [member.draws.epoch(n, n_pixels) for member in self._stacked.values()]

    def _put(self, stack: Stack) -> None:
        rows = [member.first_row for member in self._stacked.values()]
        self._epoch = StackedEpoch(self._task, stack, rows)
        self._work = Captured(self._epoch.run, self._task.pool.device)


def _pool(parts: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """The patches of all jobs in one array, and where those of each job begin."""
    different = {id(part): part for part in parts}
    ends = accumulate(len(part) for part in different.values())
    starts = dict(zip(different, [0, *ends], strict=False))
    together = parts[0] if len(different) == 1 else torch.cat(list(different.values()))
    return together, [starts[id(part)] for part in parts]
