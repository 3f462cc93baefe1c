"""The learning rate over a training: its shape, and that the training follows it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from vaeopt.core.errors import SettingsError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import VaeSettings, train
from vaeopt.stages.vae.schedule import learning_rate
from vaeopt.stages.vae.trainers import EagerTrainer, Job, NativeTrainer, StackedTrainer


def _settings(**table: Any) -> VaeSettings:
    small: dict[str, Any] = {"width": 12, "depth": 1, "learning_rate": 0.01, "device": "cpu"}
    return VaeSettings(**{**small, **table})


def _cycle(epochs: int, peak: float = 1.0) -> np.ndarray:
    return np.array([learning_rate("one-cycle", peak, epoch, epochs) for epoch in range(epochs)])


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 57, 1000])
def test_every_rate_of_a_cycle_is_above_0_and_at_most_the_peak(epochs: int) -> None:
    rates = _cycle(epochs, peak=0.004)
    assert (rates > 0).all()
    assert (rates <= 0.004).all()


@pytest.mark.parametrize("epochs", [20, 57, 1000])
def test_a_cycle_rises_over_a_tenth_and_falls_over_the_rest(epochs: int) -> None:
    rates = _cycle(epochs)
    top = int(rates.argmax())
    assert top == pytest.approx(epochs / 10, abs=1)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert rates.max() > 0.95
    assert rates[-1] < 0.01


def test_a_cycle_has_the_same_shape_however_long() -> None:
    """Ten epochs of a long training have the mean rate of one of a training a tenth as long."""
    np.testing.assert_allclose(_cycle(1000).reshape(100, 10).mean(axis=1), _cycle(100), atol=1e-4)


def test_a_training_follows_its_schedule(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []
    epoch = EagerTrainer.epoch

    def record(self: EagerTrainer, members: Sequence[int], rate: float) -> list[float]:
        used.append(rate)
        return epoch(self, members, rate)

    monkeypatch.setattr(EagerTrainer, "epoch", record)
    settings = _settings(epochs=4, engine="reference", schedule="one-cycle")
    train(settings, patches, seeds=Seeds(0, 1))
    assert used == list(_cycle(4, peak=0.01))


@pytest.mark.parametrize("kind", [EagerTrainer, NativeTrainer, StackedTrainer])
def test_every_trainer_takes_steps_of_the_rate_it_is_told(
    patches: Patches, kind: type[EagerTrainer | NativeTrainer | StackedTrainer]
) -> None:
    """Adam's first step is as long as its rate for every weight whose slope is not tiny."""
    settings, data = _settings(batch_size=24), torch.tensor(patches.pixels.reshape(24, -1))
    if kind is NativeTrainer and not NativeTrainer.runs(settings, data.device):
        pytest.skip("there is no C++ compiler")
    trainer = kind(Job(settings, data, patches.size_px, (Seeds(0, 1),)))
    before = trainer.weights(0)
    trainer.epoch([0], 0.004)
    moved = [(value - before[name]).abs().flatten() for name, value in trainer.weights(0).items()]
    assert float(torch.cat(moved).median()) == pytest.approx(0.004, rel=0.01)


def test_patience_and_a_cycle_are_refused_together() -> None:
    expected = "patience_epochs: schedule = 'one-cycle' improves until its last epoch"
    with pytest.raises(SettingsError, match=expected):
        VaeSettings(schedule="one-cycle", patience_epochs=5)
    assert VaeSettings(schedule="constant", patience_epochs=5).patience_epochs == 5
