"""Requests beside each other: who shares a trainer, who is told when, and what if one fails."""

from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.core.errors import VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import Request, Training, VaeSettings, train_each, train_many, train_members
from vaeopt.stages.vae.trainers import (
    EagerTrainer,
    Job,
    NativeTrainer,
    StackedTrainer,
    Trainer,
    choose_trainer,
    stack_key,
)

LOOP = import_module("vaeopt.stages.vae.train")  # the package has a function of that name
SMALL: dict[str, Any] = {"width": 8, "depth": 1, "epochs": 3, "batch_size": 10, "device": "cpu"}


class SideBySide:
    """Trains several jobs as one; the members of each by the trainer that it would have alone."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        trainers = [choose_trainer([job]) for job in jobs]
        self._places = [
            (trainer, member)
            for trainer, job in zip(trainers, jobs, strict=True)
            for member in range(len(job.seeds))
        ]

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """One after the other."""
        losses = []
        for trainer in dict.fromkeys(self._places[member][0] for member in members):
            chosen = [self._places[m][1] for m in members if self._places[m][0] is trainer]
            losses += trainer.epoch(chosen, learning_rate)
        return losses

    def weights(self, member: int) -> dict[str, Tensor]:
        """Of the trainer that has it."""
        trainer, place = self._places[member]
        return trainer.weights(place)


class Device:
    """Stacks what has the same number of latents, with room for so many members."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.held: list[int] = []
        """members of each trainer that was asked for"""
        self.jobs: list[Job] = []

    def key(self, job: Job) -> Hashable | None:
        """Rotation trains alone."""
        return None if job.settings.invariances else (job.settings.latent_dim,)

    def trainer(self, jobs: Sequence[Job]) -> Trainer:
        """Stands for ``choose_trainer``."""
        members = sum(len(job.seeds) for job in jobs)
        self.held.append(members)
        self.jobs += jobs
        if members > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return SideBySide(jobs)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(LOOP, "stack_key", made.key)
    monkeypatch.setattr(LOOP, "choose_trainer", made.trainer)
    return made


def _request(patches: Patches, number: int, members: int = 1, **table: Any) -> Request:
    settings = VaeSettings(**{**SMALL, "invariances": "none", **table})
    return Request(
        settings=settings,
        patches=patches,
        seeds=tuple(Seeds(0, 10 * number + member) for member in range(members)),
    )


def _alone(request: Request) -> tuple[Any, ...]:
    return train_members(request.settings, request.patches, seeds=request.seeds)


def _assert_as_alone(results: Sequence[object], requests: Sequence[Request]) -> None:
    assert len(results) == len(requests)
    for result, request in zip(results, requests, strict=True):
        assert isinstance(result, Training)
        for vae, expected in zip(result.vaes, _alone(request), strict=True):
            assert vae.config == request.settings.to_table()
            np.testing.assert_array_equal(vae.loss_nats, expected.loss_nats)
            for name, weight in expected.weights.items():
                np.testing.assert_array_equal(vae.weights[name], weight)


# ---- groups


def test_requests_of_equal_keys_train_together_and_end_as_if_alone(
    patches: Patches, device: Device
) -> None:
    requests = [
        _request(patches, 0),
        _request(patches, 1, latent_dim=3),
        _request(patches, 2, members=2),
        _request(patches, 3, invariances="rotation"),
        _request(patches, 4, latent_dim=3, kl_scale=0.1),
    ]
    groups: list[list[int]] = []
    losses: list[float] = []
    results = list(
        train_each(
            requests,
            on_epoch=lambda epoch, epochs, loss: losses.append(loss),
            on_group=lambda numbers: groups.append(list(numbers)),
        )
    )
    assert groups == [[0, 2], [1, 4], [3]]
    assert device.held == [3, 2, 1]
    assert len({id(job.data) for job in device.jobs}) == 1, "the same patches are there once"
    _assert_as_alone(results, requests)
    first, _, third, *_ = [result for result in results if isinstance(result, Training)]
    curves = [vae.loss_nats for vae in (*first.vaes, *third.vaes)]
    np.testing.assert_allclose(losses[:3], np.mean(curves, axis=0))
    assert third.seconds == pytest.approx(2 * first.seconds), "by members"
    assert first.seconds > 0


def test_a_group_trains_when_its_first_is_due(patches: Patches, device: Device) -> None:
    requests = [_request(patches, 0), _request(patches, 1, latent_dim=3), _request(patches, 2)]
    results = train_each(requests)
    assert device.held == []
    for held in ([2], [2, 1], [2, 1]):
        next(results)
        assert device.held == held


def test_members_of_several_requests_stop_and_diverge_one_by_one(
    patches: Patches, device: Device
) -> None:
    stops: dict[str, Any] = {"patience_epochs": 2, "min_improvement": 0.2, "epochs": 30}
    requests = [
        _request(patches, 0, members=3, learning_rate=3e-3, **stops),
        _request(patches, 1, kl_scale=1e38, learning_rate=3e-3, **stops),
    ]
    results = list(train_each(requests))
    assert device.held == [4]
    _assert_as_alone(results, requests)
    *_, last = results
    assert isinstance(last, Training)
    assert last.vaes[0].diverged


def test_without_a_gpu_everything_trains_alone(patches: Patches) -> None:
    data = torch.tensor(patches.pixels.reshape(len(patches), -1))
    assert stack_key(Job(VaeSettings(**SMALL), data, 7, (Seeds(0, 0),))) is None
    groups: list[list[int]] = []
    requests = [_request(patches, number) for number in range(2)]
    results = list(train_each(requests, on_group=lambda numbers: groups.append(list(numbers))))
    assert groups == [[0], [1]]
    _assert_as_alone(results, requests)


# ---- failures


def test_a_group_that_is_too_large_is_halved(patches: Patches, device: Device) -> None:
    device.room = 2
    requests = [_request(patches, number) for number in range(5)]
    groups: list[list[int]] = []
    results = list(train_each(requests, on_group=lambda numbers: groups.append(list(numbers))))
    assert groups == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3, 4]]
    _assert_as_alone(results, requests)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (1, "workflow.vae.batch_size: device cpu has too little memory for one training: CUDA"),
        (2, "workflow.replicates: device cpu has too little memory for 2 trainings at a time"),
    ],
)
def test_one_that_is_too_large_names_setting_and_remedy(
    patches: Patches, device: Device, members: int, expected: str
) -> None:
    device.room = 0
    (result,) = train_each([_request(patches, 0, members=members)])
    assert isinstance(result, VaeoptError)
    assert str(result).startswith(expected)
    assert str(result).endswith("; lower it, free the device or train on another one")
    with pytest.raises(VaeoptError, match="too little memory"):
        train_many([_request(patches, 0)])


def test_one_that_fails_takes_no_other_with_it(
    patches: Patches, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trainer(jobs: Sequence[Job]) -> Trainer:
        if any(job.settings.kl_scale == 0.5 for job in jobs):
            raise FloatingPointError("an invariance of the user's own")
        return device.trainer(jobs)

    monkeypatch.setattr(LOOP, "choose_trainer", trainer)
    requests = [
        _request(patches, 0),
        _request(patches, 1, kl_scale=0.5),
        _request(patches, 2),
        _request(patches, 3, device="cuda:99"),
    ]
    first, second, third, fourth = train_each(requests)
    _assert_as_alone([first, third], [requests[0], requests[2]])
    assert isinstance(second, FloatingPointError)
    assert isinstance(fourth, VaeoptError)


# ---- what a trainer keeps


@pytest.mark.parametrize("kind", [EagerTrainer, NativeTrainer, StackedTrainer])
def test_a_trainer_keeps_what_was_good_last(
    patches: Patches, kind: type[EagerTrainer | NativeTrainer | StackedTrainer]
) -> None:
    settings = VaeSettings(**{**SMALL, "invariances": "none"})
    data = torch.tensor(patches.pixels.reshape(len(patches), -1))
    if kind is NativeTrainer and not NativeTrainer.runs(settings, data.device):
        pytest.skip("there is no C++ compiler")
    job = Job(settings, data, 7, (Seeds(0, 0), Seeds(0, 1)))
    trainer = kind(job)
    first = [trainer.weights(member) for member in (0, 1)]
    broken = kind(job)
    data *= torch.nan
    assert not np.isfinite(broken.epoch([0, 1], 1e-2)).any()
    for member in (0, 1):
        _assert_equal(broken.weights(member), first[member])
    data.copy_(torch.tensor(patches.pixels.reshape(len(patches), -1)))
    assert np.isfinite(trainer.epoch([0, 1], 1e-2)).all()
    good = [trainer.weights(member) for member in (0, 1)]
    assert not torch.equal(good[0]["encoder.mean.weight"], first[0]["encoder.mean.weight"])
    data *= torch.nan
    assert not np.isfinite(trainer.epoch([0, 1], 1e-2)).any()
    for member in (0, 1):
        _assert_equal(trainer.weights(member), good[member])


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("engine", ["reference", "fast", "native"])
def test_the_loop_asks_for_weights_once(
    patches: Patches, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(weights: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
        def count(trainer: Any, member: int) -> Any:
            asked.append(member)
            return weights(trainer, member)

        return count

    for kind in (EagerTrainer, NativeTrainer, StackedTrainer):
        monkeypatch.setattr(kind, "weights", counted(kind.weights))
    (vaes,) = train_many([_request(patches, 0, members=3, engine=engine)])
    assert len(vaes) == 3
    assert sorted(asked) == [0, 1, 2]
