"""What a GPU may record of an epoch of stacked members, and that a replay of it is an epoch."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import VaeSettings
from vaeopt.stages.vae.invariances import Invariance
from vaeopt.stages.vae.trainers import EagerTrainer, Job, StackedTrainer
from vaeopt.stages.vae.trainers import stacked as stacked_module

SEEDS = tuple(Seeds(0, number) for number in range(5))
OWN = "shear-of-a-stack"
needs_gpu = pytest.mark.gpu


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


# ---- what a graph may hold: nothing for the host, one device


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


# ---- replays


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stub
    """Writes down every operation on arrays while it is done."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's stub
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # As they are now: what follows may change the shape of an array where it is.
        given = tree_map(_alias, (args, kwargs))
        out = func(*args, **kwargs)
        if torch.Tag.inplace_view not in func.tags:
            places = {_place(leaf) for leaf in tree_leaves(given) if _is_array(leaf)}
            arrays = [_alias(leaf) for leaf in tree_leaves(out) if _is_array(leaf)]
            made = [array for array in arrays if _place(array) not in places]
            self.calls.append((func, *given, made))
        return out


def _place(array: Tensor) -> int:
    return array.untyped_storage().data_ptr()


def _alias(leaf: Any) -> Any:
    return leaf.detach() if _is_array(leaf) else leaf


class _Replayed:
    """What a CUDA graph does, on the processor: no line of the work is run again, only kernels."""

    def __init__(self, run: Callable[[], None], device: torch.device) -> None:
        self._run, self._ran = run, False
        self._recorder: _Recorder | None = None

    def __call__(self) -> None:
        if not self._ran:
            self._run()
            self._ran = True
        elif self._recorder is None:
            self._recorder = _Recorder()
            with self._recorder:
                self._run()
        else:
            for func, args, kwargs, made in self._recorder.calls:
                out = tree_leaves(func(*args, **kwargs))
                if made:
                    torch._foreach_copy_(made, out)


@pytest.mark.parametrize("pixels", [1.0, 0.3])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("invariances", KINDS)
def test_epochs_that_are_replayed_are_epochs(
    patches: Patches,
    invariances: str,
    at_once: bool,
    pixels: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacked_module, "Captured", _Replayed)
    settings = _settings(invariances=invariances, pixels=pixels, engine="fast")
    job = Job(settings, _data(patches), 7, SEEDS[:3])
    eager, stacked = EagerTrainer(job), StackedTrainer(job, at_once=at_once)
    for members in ([0, 1, 2], [1, 2]):
        for rate in (1e-2, 3e-3, 1e-3, 3e-4):
            expected = eager.epoch(members, rate)
            np.testing.assert_allclose(stacked.epoch(members, rate), expected, rtol=1e-5)
        for member in members:
            _assert_same(stacked.weights(member), eager.weights(member))


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
