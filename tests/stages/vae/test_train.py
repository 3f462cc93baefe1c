"""Training: decided by its seeds alone, watched for plateaus, stopped when it diverges."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.core.errors import VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches, TrainedVae
from vaeopt.kernels import training
from vaeopt.stages.vae import VaeSettings, train
from vaeopt.stages.vae.trainers import NativeTrainer
from vaeopt.stages.vae.trainers.stack import Stack
from vaeopt.testing import example_micrograph


def _settings(**table: Any) -> VaeSettings:
    return VaeSettings(
        **{"width": 12, "depth": 1, "epochs": 4, "batch_size": 10, "device": "cpu", **table}
    )


def _same(first: TrainedVae, second: TrainedVae) -> bool:
    return np.array_equal(first.loss_nats, second.loss_nats) and all(
        np.array_equal(array, second.weights[name]) for name, array in first.weights.items()
    )


def test_the_same_seeds_train_the_same_model(patches: Patches) -> None:
    first, again = (train(_settings(), patches, seeds=Seeds(0, 1)) for _ in range(2))
    assert _same(first, again)


@pytest.mark.parametrize("seeds", [Seeds(1, 1), Seeds(0, 2)])
def test_other_seeds_train_another_model(patches: Patches, seeds: Seeds) -> None:
    first = train(_settings(), patches, seeds=Seeds(0, 1))
    other = train(_settings(), patches, seeds=seeds)
    assert not np.array_equal(
        first.weights["decoder.out.weight"], other.weights["decoder.out.weight"]
    )


def test_patches_are_not_changed_and_may_be_read_only(patches: Patches) -> None:
    pixels = patches.pixels.copy()
    pixels.setflags(write=False)
    first = train(_settings(), patches, seeds=Seeds(0, 1))
    np.testing.assert_array_equal(patches.pixels, pixels)
    frozen = Patches(pixels=pixels, keypoint_index=patches.keypoint_index)
    assert _same(first, train(_settings(), frozen, seeds=Seeds(0, 1)))


def test_the_global_random_state_is_neither_used_nor_changed(patches: Patches) -> None:
    before = torch.get_rng_state()
    first = train(_settings(), patches, seeds=Seeds(0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(13)  # somebody else draws
    assert _same(first, train(_settings(), patches, seeds=Seeds(0, 1)))


def test_models_train_beside_each_other_as_alone(patches: Patches) -> None:
    """The second one is built and trained between the epochs of the first."""
    alone = train(_settings(), patches, seeds=Seeds(0, 1))
    other_alone = train(_settings(invariances="none"), patches, seeds=Seeds(0, 2))
    between: list[TrainedVae] = []

    def train_another(epoch: int, epochs: int, loss: float) -> None:
        between.append(train(_settings(invariances="none"), patches, seeds=Seeds(0, 2)))

    beside = train(_settings(), patches, seeds=Seeds(0, 1), on_epoch=train_another)
    assert len(between) == 4
    assert _same(beside, alone)
    assert all(_same(other, other_alone) for other in between)


@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_training_lowers_the_loss(patches: Patches, invariances: str) -> None:
    settings = _settings(invariances=invariances, epochs=30, learning_rate=1e-2)
    loss = train(settings, patches, seeds=Seeds(0, 1)).loss_nats
    assert loss.shape == (30,)
    assert loss[-5:].mean() < loss[:2].mean() - 1.0


def test_the_loss_is_per_patch_whatever_the_batches(patches: Patches) -> None:
    """24 patches in batches of 7 leave a ragged last batch of 3; weights stand still here."""
    losses = [
        train(
            _settings(batch_size=size, learning_rate=1e-12, epochs=2), patches, seeds=Seeds(0, 1)
        ).loss_nats
        for size in (7, 24, 1000)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[1], rtol=1e-5)
    assert 49 * 0.1 < losses[0][0] < 49 * 3  # summed over the pixels of a patch, not over patches


def test_the_kl_counts_with_kl_scale_times_the_pixels(patches: Patches) -> None:
    def first_loss(kl_scale: float) -> float:
        settings = _settings(kl_scale=kl_scale, learning_rate=1e-12, epochs=1)
        return float(train(settings, patches, seeds=Seeds(0, 1)).loss_nats[0])

    nll, one = first_loss(0.0), first_loss(1.0)
    kl = (one - nll) / 49
    assert 0.1 < kl < 5
    assert first_loss(0.5) == pytest.approx(nll + 0.5 * 49 * kl, rel=1e-4)


def test_every_epoch_is_announced(patches: Patches) -> None:
    seen: list[tuple[int, int, float]] = []
    vae = train(
        _settings(epochs=3), patches, seeds=Seeds(0, 1), on_epoch=lambda *call: seen.append(call)
    )
    assert [call[:2] for call in seen] == [(1, 3), (2, 3), (3, 3)]
    assert [call[2] for call in seen] == vae.loss_nats.tolist()


def test_patches_are_not_touched(patches: Patches) -> None:
    before = patches.pixels.copy()
    train(_settings(), patches, seeds=Seeds(0, 1))
    np.testing.assert_array_equal(patches.pixels, before)


def test_a_model_records_what_it_needs_to_be_used_again(patches: Patches) -> None:
    micrograph = example_micrograph()
    settings = _settings(invariances="scale", prior_sd={"scale": 0.3})
    vae = train(settings, patches, seeds=Seeds(0, 1), micrograph=micrograph)
    assert VaeSettings(**vae.config) == settings
    assert (vae.window_px, vae.pixel_scaling, vae.pixel_size_nm) == (7, (0.0, 1.0), 10.0)
    bare = train(settings, patches, seeds=Seeds(0, 1))
    assert (bare.pixel_scaling, bare.pixel_size_nm) == (None, None)


# ---- plateau


def test_a_plateau_stops_the_training(patches: Patches) -> None:
    settings = _settings(epochs=60, learning_rate=1e-12, patience_epochs=3)
    vae = train(settings, patches, seeds=Seeds(0, 1))
    assert 6 <= len(vae.loss_nats) < 60
    assert not vae.diverged


def test_without_patience_a_plateau_never_stops(patches: Patches) -> None:
    settings = _settings(epochs=60, learning_rate=1e-12, patience_epochs=0)
    assert len(train(settings, patches, seeds=Seeds(0, 1)).loss_nats) == 60


def test_a_training_that_improves_goes_on(patches: Patches) -> None:
    settings = _settings(epochs=30, learning_rate=1e-2, patience_epochs=10, kl_scale=0.0)
    assert len(train(settings, patches, seeds=Seeds(0, 1)).loss_nats) == 30


def test_what_counts_as_improvement_can_be_chosen(patches: Patches) -> None:
    settings = _settings(
        epochs=30, learning_rate=1e-2, patience_epochs=10, kl_scale=0.0, min_improvement=0.999
    )
    assert len(train(settings, patches, seeds=Seeds(0, 1)).loss_nats) == 20


# ---- divergence


@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_a_diverged_training_is_flagged_and_keeps_its_last_good_weights(
    patches: Patches, invariances: str
) -> None:
    settings = _settings(invariances=invariances, learning_rate=1e6, epochs=20)
    vae = train(settings, patches, seeds=Seeds(0, 1))
    assert vae.diverged
    assert len(vae.loss_nats) < 20
    assert np.isfinite(vae.loss_nats).all()
    assert all(np.isfinite(array).all() for array in vae.weights.values())


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_weights_that_break_in_the_very_last_step_are_found(
    patches: Patches, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The loss of that step was still finite."""
    steps: list[str] = []
    adam_step, stack_step = torch.optim.Adam.step, Stack.step

    def break_the_sixth(weights: Tensor) -> None:
        steps.append(engine)
        if len(steps) == 6:
            weights.data[0] = torch.inf

    def reference(self: torch.optim.Adam) -> None:
        adam_step(self)
        break_the_sixth(self.param_groups[0]["params"][0])

    def fast(self: Stack, learning_rate: Tensor) -> None:
        stack_step(self, learning_rate)
        break_the_sixth(self.values["encoder.hidden.0.weight"])

    monkeypatch.setattr(torch.optim.Adam, "step", reference)
    monkeypatch.setattr(Stack, "step", fast)
    # Two epochs of three batches each.
    vae = train(_settings(epochs=2, engine=engine), patches, seeds=Seeds(0, 1))
    assert len(steps) == 6
    assert vae.diverged
    assert vae.loss_nats.shape == (1,)
    assert all(np.isfinite(array).all() for array in vae.weights.values())


def test_so_are_those_of_compiled_steps(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[list[float]] = []
    compiled = training.train

    def break_the_second(
        recipe: training.Recipe, members: list[training.Member], *others: Any, **named: Any
    ) -> list[float]:
        epochs.append(compiled(recipe, members, *others, **named))
        if len(epochs) == 2:
            members[0].state[0, 0] = torch.inf
        return epochs[-1]

    settings = _settings(epochs=2)
    if not NativeTrainer.runs(settings, torch.device("cpu")):
        pytest.skip("there is no C++ compiler")
    monkeypatch.setattr(training, "train", break_the_second)
    vae = train(settings, patches, seeds=Seeds(0, 1))
    assert np.isfinite(epochs).all()
    assert len(epochs) == 2
    assert vae.diverged
    assert vae.loss_nats.shape == (1,)
    assert all(np.isfinite(array).all() for array in vae.weights.values())


def test_a_healthy_training_is_not_flagged(patches: Patches) -> None:
    assert not train(_settings(), patches, seeds=Seeds(0, 1)).diverged


def test_a_gpu_that_is_not_there_is_found_before_training(patches: Patches) -> None:
    with pytest.raises(VaeoptError, match="device 'cuda:99' is not there"):
        train(_settings(device="cuda:99"), patches, seeds=Seeds(0, 1))


# ---- engine and precision


@pytest.mark.parametrize("engine", ["fast", "native"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_engines_train_the_same_model(patches: Patches, engine: str, likelihood: str) -> None:
    """Up to rounding, which a few epochs do not blow up."""
    common: dict[str, Any] = {"invariances": "rotation+translation", "likelihood": likelihood}
    expected = train(_settings(engine="reference", **common), patches, seeds=Seeds(0, 1))
    found = train(_settings(engine=engine, **common), patches, seeds=Seeds(0, 1))
    np.testing.assert_allclose(found.loss_nats, expected.loss_nats, rtol=1e-5)
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(found.weights[name], weight, atol=1e-4)


@pytest.mark.parametrize("engine", ["fast", "native"])
def test_bf16_products_train_nearly_the_same_model(patches: Patches, engine: str) -> None:
    common: dict[str, Any] = {"invariances": "rotation", "engine": engine, "epochs": 20}
    expected = train(_settings(**common), patches, seeds=Seeds(0, 1)).loss_nats
    found = train(_settings(precision="bf16", **common), patches, seeds=Seeds(0, 1)).loss_nats
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=0.01)


@pytest.mark.parametrize("engine", ["fast", "native"])
@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_training_leaves_the_number_of_threads(
    patches: Patches, invariances: str, engine: str
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        train(_settings(invariances=invariances, engine=engine), patches, seeds=Seeds(0, 1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
