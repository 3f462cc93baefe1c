"""Trainings beside each other: each one as if it were alone, whoever trains it and who stops."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae import VaeSettings, train, train_members
from vaeopt.stages.vae.trainers import (
    EagerTrainer,
    Job,
    NativeTrainer,
    StackedTrainer,
    Trainer,
    choose_trainer,
)

SEEDS = tuple(Seeds(0, number) for number in range(5))
MODELS: list[dict[str, Any]] = [
    {"invariances": "none"},
    {"invariances": "none", "likelihood": "gaussian", "depth": 2},
    {"invariances": "none", "likelihood": "continuous-bernoulli", "kl_estimator": "sampled"},
    {"invariances": "rotation", "latent_dim": 3, "kl_estimator": "sampled"},
    {"invariances": "rotation+translation+scale", "depth": 2, "precision": "float32"},
    {"invariances": "translation", "engine": "fast", "likelihood": "gaussian"},
]


def _settings(**table: Any) -> VaeSettings:
    # 24 patches in batches of 10: the last one is ragged.
    small = {"width": 12, "depth": 1, "epochs": 4, "batch_size": 10, "learning_rate": 1e-2}
    return VaeSettings(**{**small, "device": "cpu", "kl_scale": 0.1, **table})


def _data(patches: Patches) -> Tensor:
    return torch.tensor(patches.pixels.reshape(len(patches), -1))


def _assert_close(found: TrainedVae, expected: TrainedVae) -> None:
    np.testing.assert_allclose(found.loss_nats, expected.loss_nats, rtol=1e-5)
    assert found.diverged == expected.diverged
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(found.weights[name], weight, atol=2e-5, err_msg=name)


# ---- trainers


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_stack_learns_what_models_learn_one_after_the_other(
    patches: Patches, model: dict[str, Any], at_once: bool
) -> None:
    settings, data = _settings(**model), _data(patches)
    eager: Trainer = EagerTrainer(Job(settings, data, 7, SEEDS[:3]))
    stacked: Trainer = StackedTrainer(Job(settings, data, 7, SEEDS[:3]), at_once=at_once, group=2)
    for rate in (1e-2, 3e-3, 1e-3):  # a schedule reaches both
        expected = eager.epoch([0, 1, 2], rate)
        np.testing.assert_allclose(stacked.epoch([0, 1, 2], rate), expected, rtol=1e-5)
    for member in range(3):
        weights = stacked.weights(member)
        for name, weight in eager.weights(member).items():
            torch.testing.assert_close(weights[name], weight, atol=2e-5, rtol=0)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_compiled_epochs_learn_what_models_learn_one_after_the_other(
    patches: Patches, model: dict[str, Any]
) -> None:
    settings, data = _settings(**{**model, "engine": "native"}), _data(patches)
    if not NativeTrainer.runs(settings, data.device):
        pytest.skip("there is no C++ compiler")
    eager = EagerTrainer(Job(settings, data, 7, SEEDS[:3]))
    compiled = NativeTrainer(Job(settings, data, 7, SEEDS[:3]))
    for rate in (1e-2, 3e-3, 1e-3):
        expected = eager.epoch([0, 1, 2], rate)
        np.testing.assert_allclose(compiled.epoch([0, 1, 2], rate), expected, rtol=1e-5)
    for member in range(3):
        weights = compiled.weights(member)
        for name, weight in eager.weights(member).items():
            torch.testing.assert_close(weights[name], weight, atol=2e-5, rtol=0)


def test_bf16_products_of_all_members_at_once_learn_nearly_the_same(patches: Patches) -> None:
    settings, data = _settings(invariances="rotation", precision="bf16"), _data(patches)
    eager = EagerTrainer(Job(_settings(invariances="rotation"), data, 7, SEEDS[:2]))
    stacked = StackedTrainer(Job(settings, data, 7, SEEDS[:2]), at_once=True)
    for _ in range(4):
        expected, found = (trainer.epoch([0, 1], 1e-2) for trainer in (eager, stacked))
    assert found != expected
    np.testing.assert_allclose(found, expected, rtol=0.01)


@pytest.mark.parametrize("kind", [EagerTrainer, NativeTrainer, StackedTrainer])
def test_members_that_are_left_out_change_nothing_for_the_others(
    patches: Patches, kind: type[EagerTrainer | NativeTrainer | StackedTrainer]
) -> None:
    settings, data = _settings(invariances="none"), _data(patches)
    together, alone = kind(Job(settings, data, 7, SEEDS)), kind(Job(settings, data, 7, SEEDS[3:4]))
    active: list[Sequence[int]] = [[0, 1, 2, 3, 4], [1, 2, 3, 4], [1, 3], [3]]
    for members in active:
        losses = dict(zip(members, together.epoch(members, 1e-2), strict=True))
        assert losses[3] == pytest.approx(alone.epoch([0], 1e-2)[0], rel=1e-5)
    for name, weight in alone.weights(0).items():
        torch.testing.assert_close(together.weights(3)[name], weight, atol=2e-5, rtol=0)


def test_weights_are_a_copy(patches: Patches) -> None:
    trainer = StackedTrainer(Job(_settings(), _data(patches), 7, SEEDS[:2]))
    before = trainer.weights(1)
    kept = {name: value.clone() for name, value in before.items()}
    trainer.epoch([0, 1], 1e-2)
    assert all(torch.equal(value, kept[name]) for name, value in before.items())
    after = trainer.weights(1)
    assert not torch.equal(after["encoder.mean.weight"], kept["encoder.mean.weight"])


@pytest.mark.parametrize(
    ("engine", "kind"), [("reference", EagerTrainer), ("fast", StackedTrainer)]
)
def test_the_engine_decides_who_trains(
    patches: Patches, engine: str, kind: type[EagerTrainer | StackedTrainer]
) -> None:
    assert isinstance(
        choose_trainer([Job(_settings(engine=engine), _data(patches), 7, SEEDS)]), kind
    )


# ---- the loop


@pytest.mark.parametrize("engine", ["native", "fast", "reference"])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_every_member_ends_as_if_it_were_alone(
    patches: Patches, invariances: str, engine: str
) -> None:
    settings = _settings(invariances=invariances, engine=engine)
    together = train_members(settings, patches, seeds=SEEDS)
    assert len(together) == len(SEEDS)
    for vae, seeds in zip(together, SEEDS, strict=True):
        _assert_close(vae, train(settings, patches, seeds=seeds))


@pytest.mark.parametrize("engine", ["native", "fast"])
@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_members_in_another_order_are_the_same_members(
    patches: Patches, invariances: str, engine: str
) -> None:
    settings, order = _settings(invariances=invariances, engine=engine), [3, 0, 4, 2, 1]
    straight = train_members(settings, patches, seeds=SEEDS)
    shuffled = train_members(settings, patches, seeds=[SEEDS[member] for member in order])
    for vae, member in zip(shuffled, order, strict=True):
        _assert_close(vae, straight[member])


@pytest.mark.parametrize("engine", ["native", "fast"])
@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_every_member_stops_at_its_own_plateau(
    patches: Patches, invariances: str, engine: str
) -> None:
    stops: dict[str, Any] = {"patience_epochs": 3, "min_improvement": 0.1, "learning_rate": 3e-3}
    settings = _settings(invariances=invariances, engine=engine, epochs=60, **stops)
    alone = [train(settings, patches, seeds=seeds) for seeds in SEEDS]
    lengths = {len(vae.loss_nats) for vae in alone}
    assert len(lengths) > 1
    assert max(lengths) < 60
    for vae, expected in zip(train_members(settings, patches, seeds=SEEDS), alone, strict=True):
        _assert_close(vae, expected)


def _break(trainer: StackedTrainer | NativeTrainer) -> None:
    """Spoil a weight of member 1."""
    if isinstance(trainer, NativeTrainer):
        trainer._members[1].state[0, 0] = torch.nan
    else:
        trainer._groups[0].stack.values["encoder.mean.bias"][1] = torch.nan


@pytest.mark.parametrize("invariances", ["none", "rotation"])
@pytest.mark.parametrize("engine", ["native", "fast"])
def test_one_that_diverges_keeps_its_last_good_weights_and_leaves_the_others(
    patches: Patches, engine: str, invariances: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(invariances=invariances, engine=engine)
    if engine == "native" and not NativeTrainer.runs(settings, torch.device("cpu")):
        pytest.skip("there is no C++ compiler")
    kind: type[StackedTrainer | NativeTrainer]
    kind = NativeTrainer if engine == "native" else StackedTrainer
    epoch, calls = kind.epoch, []
    announced: list[float] = []

    def break_member_1(
        self: StackedTrainer | NativeTrainer, members: Sequence[int], rate: float
    ) -> list[float]:
        calls.append(list(members))
        if len(calls) == 3:
            _break(self)
        return epoch(self, members, rate)  # type: ignore[arg-type]  # of the same kind

    expected = train_members(settings, patches, seeds=SEEDS[:3])
    short = train(settings.model_copy(update={"epochs": 2}), patches, seeds=SEEDS[1])
    with monkeypatch.context() as patched:
        patched.setattr(kind, "epoch", break_member_1)
        found = train_members(
            settings, patches, seeds=SEEDS[:3], on_epoch=lambda *call: announced.append(call[2])
        )
    assert len(announced) == 4
    assert np.isfinite(announced).all()
    assert calls == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 2]]
    assert [vae.diverged for vae in found] == [False, True, False]
    _assert_close(replace(found[1], diverged=False), short)
    for member in (0, 2):
        _assert_close(found[member], expected[member])


def test_epochs_are_announced_with_the_mean_of_those_that_train(patches: Patches) -> None:
    settings = _settings(
        invariances="none", epochs=60, learning_rate=3e-3, patience_epochs=3, min_improvement=0.1
    )
    seen: list[tuple[int, int, float]] = []
    members = train_members(
        settings, patches, seeds=SEEDS, on_epoch=lambda *call: seen.append(call)
    )
    curves = [vae.loss_nats for vae in members]
    longest = max(len(curve) for curve in curves)
    assert [call[:2] for call in seen] == [(epoch + 1, 60) for epoch in range(longest)]
    for epoch, (_, _, loss) in enumerate(seen):
        assert loss == pytest.approx(np.mean([c[epoch] for c in curves if len(c) > epoch]))
