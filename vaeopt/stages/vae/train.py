"""The training loop: the one mutable place of the flow."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.errors import VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Floats, Micrograph, Patches, TrainedVae
from vaeopt.stages.vae.device import resolve_device
from vaeopt.stages.vae.schedule import learning_rate
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers import Job, Trainer, choose_trainer, stack_key

__all__ = [
    "Request",
    "Training",
    "Watch",
    "train",
    "train_each",
    "train_groups",
    "train_many",
    "train_members",
]

EpochHook = Callable[[int, int, float], None]
GroupHook = Callable[[Sequence[int]], None]


class Watch(Protocol):
    """Looks at one training now and then, and may end it."""

    def __call__(self, epochs_done: int, so_far: Callable[[], TrainedVae]) -> bool:
        """Whether the training shall end here; asked after each epoch but its last.

        Args:
            epochs_done: of it.
            so_far: what it has learnt; copies the weights, so call it only if you must look.
        """


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one run wants trained: VAEs that differ by their seeds alone."""

    settings: VaeSettings
    """model and recipe"""
    patches: Patches
    """what to learn; requests on the same patches share them on the device too"""
    seeds: tuple[Seeds, ...]
    """of each VAE; weights, shuffling and noise derive from them and from nothing else"""
    micrograph: Micrograph | None = None
    """recorded with the model (scaling, pixel size) so that it can be used on the next image"""
    watch: Callable[[], Watch] | None = None
    """makes one for every VAE, again if its training has to begin again; none: nobody looks"""


class Training(NamedTuple):
    """What came out of a request."""

    vaes: tuple[TrainedVae, ...]
    """in the order of the seeds"""
    seconds: float
    """its share of the time that its group took: every VAE of a group has the same"""


def train(
    settings: VaeSettings,
    patches: Patches,
    *,
    seeds: Seeds,
    micrograph: Micrograph | None = None,
    on_epoch: EpochHook | None = None,
) -> TrainedVae:
    """Train one VAE on all patches with Adam; the arguments are those of :func:`train_members`."""
    (vae,) = train_members(
        settings, patches, seeds=[seeds], micrograph=micrograph, on_epoch=on_epoch
    )
    return vae


def train_members(
    settings: VaeSettings,
    patches: Patches,
    *,
    seeds: Sequence[Seeds],
    micrograph: Micrograph | None = None,
    on_epoch: EpochHook | None = None,
) -> tuple[TrainedVae, ...]:
    """Train several VAEs that differ by their seeds, together.

    Args:
        settings: see :class:`Request`, like the next three.
        patches: what to learn.
        seeds: of each member.
        micrograph: recorded with the models.
        on_epoch: see :func:`train_groups`.
    """
    request = Request(settings=settings, patches=patches, seeds=tuple(seeds), micrograph=micrograph)
    (vaes,) = train_many([request], on_epoch=on_epoch)
    return vaes


def train_many(
    requests: Sequence[Request], *, on_epoch: EpochHook | None = None
) -> tuple[tuple[TrainedVae, ...], ...]:
    """Train what is asked for, together where that pays, and fail with the first that fails."""
    found = []
    for result in train_each(requests, on_epoch=on_epoch):
        if isinstance(result, Exception):
            raise result
        found.append(result.vaes)
    return tuple(found)


def train_each(
    requests: Sequence[Request],
    *,
    on_epoch: EpochHook | None = None,
    on_group: GroupHook | None = None,
) -> Iterator[Training | Exception]:
    """What :func:`train_groups` hands out, one by one in the order of the requests."""
    groups = train_groups(requests, on_epoch=on_epoch, on_group=on_group)
    ended: dict[int, Training | Exception] = {}
    for number in range(len(requests)):
        if number not in ended:
            ended |= next(groups)
        yield ended.pop(number)


def train_groups(
    requests: Sequence[Request],
    *,
    on_epoch: EpochHook | None = None,
    on_group: GroupHook | None = None,
) -> Iterator[dict[int, Training | Exception]]:
    """Train what is asked for, together where that pays; hand out each group once it is there.

    Every VAE ends as if it had been trained alone, up to the rounding of sums. Patches go to the
    device once; shuffling and noise of an epoch are drawn on the CPU, so that every device sees the
    same numbers; the host waits once per epoch, for the losses.

    Requests of equal :func:`stack_key` make a group that trains in one trainer. A group that fails
    is halved, and each half trains again, until what fails stands alone: a device whose memory is
    too small for all of them, or one request that would take the others with it.

    Args:
        requests: may differ in everything.
        on_epoch: called after each epoch of a group with (epoch, epochs, loss per patch [nats]),
            the mean over the members that are still training.
        on_group: called before a group trains, with the numbers of its requests.

    Yields:
        What came out of each request of a group, or why nothing did, by its number. Groups come in
        the order of their first requests; each number comes once.
    """
    ended: dict[int, Exception] = {}
    jobs: dict[int, Job] = {}
    on_device: dict[tuple[int, torch.device], Tensor] = {}
    for number, request in enumerate(requests):
        try:
            jobs[number] = _job(request, on_device)
        except Exception as error:
            ended[number] = error
    on_device.clear()  # from here on a job that has ended leaves no patches behind
    keys = {number: stack_key(job) for number, job in jobs.items()}
    for number in range(len(requests)):
        if number in ended:
            yield {number: ended[number]}
        elif number in jobs:
            key = keys[number]
            alike = [number] if key is None else [other for other in jobs if keys[other] == key]
            group = {member: jobs.pop(member) for member in alike}
            yield _of_group(requests, group, on_epoch, on_group)


@dataclass
class _Record:
    """What the loop knows of a member."""

    request: Request
    watch: Watch | None
    losses: list[float] = field(default_factory=list)
    diverged: bool = False
    stopped: bool = False
    weights: dict[str, Floats] = field(default_factory=dict)
    """once it has ended"""


def _job(request: Request, on_device: dict[tuple[int, torch.device], Tensor]) -> Job:
    patches, device = request.patches, resolve_device(request.settings.device)
    place = (id(patches), device)
    if place not in on_device:
        on_device[place] = _shared(patches.pixels.reshape(len(patches), -1)).to(device)
    return Job(request.settings, on_device[place], patches.size_px, request.seeds)


def _of_group(
    requests: Sequence[Request],
    jobs: Mapping[int, Job],
    on_epoch: EpochHook | None,
    on_group: GroupHook | None,
) -> dict[int, Training | Exception]:
    """What came out of each job, by its number among the requests."""
    numbers, start = list(jobs), time.perf_counter()
    if on_group is not None:
        on_group(numbers)
    try:
        records = _epochs([requests[n] for n in numbers], list(jobs.values()), on_epoch)
    except torch.OutOfMemoryError as error:
        failure: Exception = _no_memory(jobs[numbers[0]], str(error))
    except Exception as error:
        failure = error
    else:
        each, remaining = (time.perf_counter() - start) / len(records), iter(records)
        return {
            number: Training(
                vaes=tuple(_vae(next(remaining)) for _ in job.seeds),
                seconds=each * len(job.seeds),
            )
            for number, job in jobs.items()
        }
    if len(jobs) == 1:
        return {numbers[0]: failure}
    # Forgotten before others train: the frames that it remembers hold memory of the device.
    del failure
    gc.collect()
    torch.cuda.empty_cache()  # nothing without a GPU
    found: dict[int, Training | Exception] = {}
    for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]):
        part = {number: jobs[number] for number in half}
        found |= _of_group(requests, part, on_epoch, on_group)
    return found


def _no_memory(job: Job, reason: str) -> VaeoptError:
    n = len(job.seeds)
    return VaeoptError(
        f"device {job.data.device} has too little memory for "
        f"{'one training' if n == 1 else f'{n} trainings at a time'}: {reason.splitlines()[0]}",
        setting="workflow.vae.batch_size" if n == 1 else "workflow.replicates",
        remedy="lower it, free the device or train on another one",
    )


def _epochs(
    requests: Sequence[Request], jobs: Sequence[Job], on_epoch: EpochHook | None
) -> list[_Record]:
    """All epochs of the members of all jobs; the recipe of steps is that of the first."""
    settings = jobs[0].settings
    trainer = choose_trainer(jobs)
    records = [
        _Record(request, request.watch() if request.watch else None)
        for request in requests
        for _ in request.seeds
    ]
    active = list(range(len(records)))
    for epoch in range(settings.epochs):
        rate = learning_rate(settings.schedule, settings.learning_rate, epoch, settings.epochs)
        losses = dict(zip(active, trainer.epoch(active, rate), strict=True))
        healthy = [member for member in active if np.isfinite(losses[member])]
        for member in healthy:
            records[member].losses.append(losses[member])
        if healthy and on_epoch is not None:
            mean = float(np.mean([losses[member] for member in healthy]))
            on_epoch(epoch + 1, settings.epochs, mean)
        last = epoch + 1 == settings.epochs
        staying = [m for m in healthy if not (last or _plateau(records[m]))]
        for member in staying:
            records[member].stopped = _is_stopped(records[member], trainer, member)
        staying = [member for member in staying if not records[member].stopped]
        for member in sorted(set(active) - set(staying)):
            records[member].diverged = member not in healthy
            records[member].weights = _weights(trainer, member)
        active = staying
        if not active:
            break
    return records


def _is_stopped(record: _Record, trainer: Trainer, member: int) -> bool:
    """Whether whoever watches this member ends its training here."""

    def so_far() -> TrainedVae:
        return replace(_vae(record), weights=_weights(trainer, member))

    return record.watch is not None and record.watch(len(record.losses), so_far)


def _weights(trainer: Trainer, member: int) -> dict[str, Floats]:
    return {name: value.cpu().numpy() for name, value in trainer.weights(member).items()}


def _vae(record: _Record) -> TrainedVae:
    request, micrograph = record.request, record.request.micrograph
    return TrainedVae(
        config=request.settings.to_table(),
        window_px=request.patches.size_px,
        weights=record.weights,
        loss_nats=np.asarray(record.losses),
        diverged=record.diverged,
        stopped=record.stopped,
        pixel_scaling=micrograph.scaling if micrograph else None,
        pixel_size_nm=micrograph.pixel_size_nm if micrograph else None,
    )


def _shared(pixels: Floats) -> Tensor:
    """The same memory as a tensor, which nobody writes to."""
    # Torch warns of arrays that are read-only, because a tensor cannot be.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _plateau(record: _Record) -> bool:
    """Whether the last epochs are no better on average than as many before."""
    losses, settings = record.losses, record.request.settings
    patience = settings.patience_epochs
    if patience == 0 or len(losses) < 2 * patience:
        return False
    now, before = np.mean(losses[-patience:]), np.mean(losses[-2 * patience : -patience])
    # Relative to the range, not to the loss: a likelihood has no natural zero.
    least = settings.min_improvement * (max(losses) - min(losses))
    return bool(before - now < least)
