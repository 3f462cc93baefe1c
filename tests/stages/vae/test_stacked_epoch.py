"""Epochs of stacked members: what a GPU may record, and what members owe to nobody else."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import VaeSettings
from vaeopt.stages.vae.invariances import Invariance
from vaeopt.stages.vae.trainers import EagerTrainer, Job, StackedTrainer
from vaeopt.stages.vae.trainers import stack as stack_module
from vaeopt.stages.vae.trainers import stacked as stacked_module
from vaeopt.stages.vae.trainers.epoch import Task
from vaeopt.stages.vae.trainers.stack import Stack

SEEDS = tuple(Seeds(0, number) for number in range(5))
OWN = "shear-of-a-stack"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


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


@pytest.fixture(autouse=True)
def own_invariance(monkeypatch: pytest.MonkeyPatch) -> type[Invariance]:
    """As a user may declare one; known in one test only."""
    monkeypatch.setattr(Invariance, "registry", dict(Invariance.registry))

    class Shear(Invariance, kind=OWN):
        """Columns move in proportion to their row."""

        n_codes: ClassVar[int] = 1
        code_rank: ClassVar[int] = 3
        apply_rank: ClassVar[int] = 3
        default_prior_sd: ClassVar[float] = 0.2
        unit: ClassVar[str] = "relative"

        @classmethod
        def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
            one, zero = torch.ones_like(amount[:, 0]), torch.zeros_like(amount[:, 0])
            rows = [torch.stack([one, zero], -1), torch.stack([amount[:, 0], one], -1)]
            return torch.stack(rows, -2), amount.new_zeros(len(amount), 2)

    return Shear


# ---- what a graph may hold


class _OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stub
    """Lets operations pass whose arrays are all on one device.

    It stands in for a GPU and is torch's ``meta`` device: arrays on it have shapes and no numbers,
    so that whatever asks for a number fails, as it would while a graph is recorded.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's stub
        self.operations: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        arguments = (args, kwargs or {})
        adam = func is torch.ops.aten._fused_adam_.tensor_lr  # has no shapes of its own
        out = None if adam else func(*args, **(kwargs or {}))
        places = {leaf.device.type for leaf in tree_leaves((arguments, out)) if _is_array(leaf)}
        assert places == {"meta"}, f"{func} on {places}"
        self.operations.append(str(func))
        return out


def _is_array(leaf: object) -> bool:
    return isinstance(leaf, Tensor)


def _recordable(settings: VaeSettings, at_once: bool) -> list[str]:
    """The operations of an epoch of two members; fails if one of them could not be recorded."""
    job = Job(settings, torch.empty(24, 49, device="meta"), 7, SEEDS[:2])
    (group,) = StackedTrainer(job, at_once=at_once)._groups
    seen = _OneDevice()
    with torch.no_grad(), seen:
        group._epoch.run()
    return seen.operations


KINDS = ["none", "rotation", "translation", "rotation+translation+scale", f"rotation+{OWN}"]


@pytest.mark.parametrize("pixels", [1.0, 0.3])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("invariances", KINDS)
def test_a_gpu_can_do_an_epoch_without_the_host(
    invariances: str, at_once: bool, pixels: float
) -> None:
    recipes = [
        {"likelihood": "bernoulli", "kl_estimator": "analytic", "precision": "float32"},
        {"likelihood": "continuous-bernoulli", "kl_estimator": "sampled", "precision": "bf16"},
        {"likelihood": "gaussian", "kl_estimator": "sampled", "precision": "auto"},
    ]
    for recipe in recipes:
        operations = _recordable(
            _settings(invariances=invariances, pixels=pixels, **recipe), at_once
        )
        assert operations.count("aten._fused_adam_.tensor_lr") == 3  # steps, the last one smaller


def _asks(amount: Tensor) -> tuple[Tensor, Tensor]:
    linear = torch.eye(2, device=amount.device).expand(len(amount), 2, 2)
    return linear * (1 if float(amount.sum()) > 0 else 2), amount.new_zeros(len(amount), 2)


def _copies(amount: Tensor) -> tuple[Tensor, Tensor]:
    linear = torch.eye(2).to(amount).expand(len(amount), 2, 2)
    return linear + amount.unsqueeze(-1), amount.new_zeros(len(amount), 2)


@pytest.mark.parametrize(
    ("affine", "reason"), [(_asks, r"[Mm]eta"), (_copies, "cpu")], ids=["asks", "copies"]
)
def test_what_could_not_be_recorded_would_be_seen(
    own_invariance: type[Invariance], affine: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_invariance, "affine", affine)
    with pytest.raises((RuntimeError, AssertionError), match=reason):
        _recordable(_settings(invariances=OWN), at_once=True)


def test_auto_takes_bf16_products_on_a_gpu() -> None:
    settings = _settings(invariances="rotation", precision="auto")
    assert any("to_copy" in operation for operation in _recordable(settings, at_once=True))
    exact = _settings(invariances="rotation")
    assert not any("to_copy" in operation for operation in _recordable(exact, at_once=True))


@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_an_epoch_leaves_every_array_where_it_is(patches: Patches, invariances: str) -> None:
    job = Job(_settings(invariances=invariances, pixels=0.5), _data(patches), 7, SEEDS[:2])
    (group,) = StackedTrainer(job)._groups

    def addresses() -> list[int]:
        epoch = group._epoch
        assert epoch._pixels is not None
        inboxes = [inbox.tensor for inbox in (epoch._order, epoch._noise, epoch._pixels)]
        tensors = [epoch.losses, epoch._total, epoch._rate, *group.stack._arrays, *inboxes]
        return [tensor.data_ptr() for tensor in tensors]

    before = addresses()
    losses = [group.epoch(1e-2) for _ in range(3)]
    assert addresses() == before
    assert losses[2] < losses[0]


# ---- what members learn


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation", f"scale+{OWN}"])
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


# ---- where there is a GPU


@needs_gpu
@pytest.mark.parametrize("pixels", [1.0, 0.3])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation", f"rotation+{OWN}"])
def test_replayed_epochs_on_a_gpu_learn_what_a_processor_learns(
    patches: Patches, invariances: str, at_once: bool, pixels: float
) -> None:
    settings, data = (
        _settings(invariances=invariances, pixels=pixels, engine="fast"),
        _data(patches),
    )
    here = StackedTrainer(Job(settings, data, 7, SEEDS))
    there = StackedTrainer(Job(settings, data.cuda(), 7, SEEDS), at_once=at_once)
    leaving = [[0, 1, 2, 3, 4]] * 4 + [[1, 3, 4]] * 3
    for members in leaving:
        expected = here.epoch(members, 3e-3)
        np.testing.assert_allclose(there.epoch(members, 3e-3), expected, rtol=1e-4)
    (group,) = there._groups
    assert group._work.is_recorded
    for member in (1, 3, 4):
        for name, weight in here.weights(member).items():
            found = there.weights(member)[name].cpu()
            torch.testing.assert_close(found, weight, atol=1e-3, rtol=0, msg=name)
