"""Epochs of stacked members: each learns what it would learn alone, whatever the others do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import VaeSettings
from vaeopt.stages.vae.trainers import EagerTrainer, Job, StackedTrainer
from vaeopt.stages.vae.trainers import stack as stack_module
from vaeopt.stages.vae.trainers import stacked as stacked_module
from vaeopt.stages.vae.trainers.epoch import Task
from vaeopt.stages.vae.trainers.stack import Stack

SEEDS = tuple(Seeds(0, number) for number in range(5))


def _settings(**table: Any) -> VaeSettings:
    # 24 patches in batches of 10: the last one is ragged.
    small = {"width": 12, "depth": 1, "epochs": 4, "batch_size": 10, "learning_rate": 1e-2}
    return VaeSettings(**{**small, "device": "cpu", "kl_scale": 0.1, **table})


def _data(patches: Patches) -> Tensor:
    return torch.tensor(patches.pixels.reshape(len(patches), -1))


def _assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_each_member_looks_at_pixels_of_its_own(
    patches: Patches, invariances: str, likelihood: str, at_once: bool
) -> None:
    settings = _settings(invariances=invariances, likelihood=likelihood, pixels=0.3, engine="fast")
    job = Job(settings, _data(patches), 7, SEEDS[:3])
    eager, stacked = EagerTrainer(job), StackedTrainer(job, at_once=at_once, group=2)
    for rate in (1e-2, 3e-3, 1e-3):
        expected = eager.epoch([0, 1, 2], rate)
        found = stacked.epoch([0, 1, 2], rate)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)  # may be close to 0
    for member in range(3):
        _assert_same(stacked.weights(member), eager.weights(member))


@pytest.mark.parametrize("shared", [True, False])
def test_jobs_are_stacked_with_patches_of_their_own(patches: Patches, shared: bool) -> None:
    settings, data = _settings(invariances="rotation", engine="fast"), _data(patches)
    others = data if shared else data.flip(0).square()
    jobs = [Job(settings, data, 7, SEEDS[:2]), Job(settings, others, 7, SEEDS[2:3])]
    jobs.append(Job(settings, data, 7, SEEDS[3:4]))
    together = StackedTrainer(*jobs)
    first, second, third = (EagerTrainer(job) for job in jobs)
    for _ in range(3):
        found = together.epoch([0, 1, 2, 3], 1e-2)
        np.testing.assert_allclose(found[:2], first.epoch([0, 1], 1e-2), rtol=1e-5)
        expected = second.epoch([0], 1e-2) + third.epoch([0], 1e-2)
        np.testing.assert_allclose(found[2:], expected, rtol=1e-5)
    alone = [first.weights(0), first.weights(1), second.weights(0), third.weights(0)]
    for member, weights in enumerate(alone):
        _assert_same(together.weights(member), weights)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers do on the processor what they do where epochs are replayed."""
    monkeypatch.setattr(stacked_module, "Task", lambda **table: Task(**{**table, "records": True}))


@pytest.mark.usefixtures("recording")
@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_numbers_drawn_ahead_and_members_that_stay_change_nothing(
    patches: Patches, invariances: str
) -> None:
    job = Job(_settings(invariances=invariances, engine="fast"), _data(patches), 7, SEEDS)
    trainer, eager = StackedTrainer(job), EagerTrainer(job)
    (group,) = trainer._groups
    leaving: list[Sequence[int]] = [[0, 1, 2, 3, 4], [0, 1, 3, 4], [0, 1, 3, 4], [1, 3, 4], [3, 4]]
    stacked = []
    for members in leaving:
        expected = eager.epoch(members, 1e-2)
        np.testing.assert_allclose(trainer.epoch(members, 1e-2), expected, rtol=1e-5)
        for member in members:
            _assert_same(trainer.weights(member), eager.weights(member))
        stacked.append(list(group._stacked))
    # A graph is recorded anew only where enough of them have left.
    assert stacked == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 3, 4], [3, 4]]
    assert trainer.epoch([], 1e-2) == []


@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_weights_are_those_of_the_last_epoch_that_ended_well(
    patches: Patches, invariances: str
) -> None:
    job = Job(_settings(invariances=invariances, engine="fast"), _data(patches), 7, SEEDS[:3])
    trainer, healthy = StackedTrainer(job), StackedTrainer(job)
    first = trainer.weights(0)
    (group,) = trainer._groups
    group.stack.values["encoder.mean.bias"][0] = torch.nan
    losses = trainer.epoch([0, 1, 2], 1e-2)
    assert np.isnan(losses).tolist() == [True, False, False]
    assert all(torch.equal(value, first[name]) for name, value in trainer.weights(0).items())
    healthy.epoch([0, 1, 2], 1e-2)
    good = trainer.weights(2)
    _assert_same(good, healthy.weights(2))
    group.stack.values["decoder.out.bias"][2] = torch.inf
    losses = trainer.epoch([1, 2], 1e-2)
    assert np.isnan(losses).tolist() == [False, True]
    assert all(torch.equal(value, good[name]) for name, value in trainer.weights(2).items())
    healthy.epoch([1, 2], 1e-2)
    _assert_same(trainer.weights(1), healthy.weights(1))


# ---- Adam


@pytest.mark.parametrize("share", [None, 8])
def test_a_stack_is_moved_as_torch_moves_each_member(
    share: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = {"weight": (3, 5, 2), "bias": (3, 5), "odd": (3, 1)}
    values = {name: torch.randn(*s, generator=generator) for name, s in shapes.items()}
    stack = Stack(values)
    if share is not None:  # as on a GPU
        stack._adam = [list(torch.split(array, share)) for array in stack._arrays[:4]]
        assert len(stack._adam[0]) > 1
    own = [value.clone().requires_grad_() for value in values.values()]
    adam = torch.optim.Adam(own)

    def step(stack: Stack, rows: Sequence[int], rate: float) -> None:
        for parameter, slope in zip(own, stack.slopes.values(), strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            slope.copy_(parameter.grad[rows])
        adam.param_groups[0]["lr"] = rate
        adam.step()
        stack.step(torch.tensor(rate))
        for parameter, value in zip(own, stack.values.values(), strict=True):
            torch.testing.assert_close(value, parameter.detach()[rows], rtol=1e-6, atol=1e-7)

    for rate in (1e-2, 1e-2, 3e-3):
        step(stack, [0, 1, 2], rate)
    part = stack.part([2, 0])
    for rate in (1e-3, 1e-2):
        step(part, [2, 0], rate)


def test_arrays_of_a_stack_begin_at_multiples_of_16_bytes() -> None:
    stack = Stack({"odd": torch.ones(3, 1), "next": torch.ones(3, 5, 2), "last": torch.ones(3, 7)})
    assert [value.storage_offset() % 4 for value in stack.values.values()] == [0, 0, 0]
    assert stack.finite().tolist() == [True] * 3
    stack.values["next"][1, 2, 0] = torch.nan
    assert stack.finite().tolist() == [True, False, True]
    assert stack_module._SHARE % 4 == 0
