"""Trainings that somebody watches: nothing changes by looking, and one that is ended leaves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches, TrainedVae
from vaeopt.kernels.training import gpu
from vaeopt.stages.vae import VaeSettings, Watch, encode, model, posterior, train, train_groups
from vaeopt.stages.vae.model import InvariantVae
from vaeopt.stages.vae.train import Request, train_many
from vaeopt.stages.vae.trainers import GpuTrainer, NativeTrainer

SEEDS = tuple(Seeds(0, number) for number in range(3))
EPOCHS = 3


def _settings(engine: str, **table: Any) -> VaeSettings:
    small = {"width": 8, "depth": 1, "epochs": EPOCHS, "batch_size": 5, "learning_rate": 1e-2}
    return VaeSettings(**{**small, "device": "cpu", "engine": engine, "kl_scale": 0.1, **table})


@pytest.fixture
def few(patches: Patches) -> Patches:
    """8 windows of 5 px: Triton's interpreter is slow."""
    inner = np.ascontiguousarray(patches.pixels[:8, 1:6, 1:6])
    return Patches(pixels=inner, keypoint_index=np.arange(8))


def _here(engine: str) -> None:
    if engine == "native" and not NativeTrainer.runs(_settings(engine), torch.device("cpu")):
        pytest.skip("there is no C++ compiler")
    if engine == "triton":
        if not gpu._has_triton():
            pytest.skip("Triton is not installed")
        if torch.cuda.is_available():
            pytest.skip("the kernels are compiled here")


every_engine = pytest.mark.parametrize("engine", ["native", "fast", "reference", "triton"])
every_decoder = pytest.mark.parametrize("invariances", ["none", "rotation"])


class _Looks:
    """Copies what every training has learnt, after every epoch; ends one of them, or none."""

    def __init__(self, ends: int | None = None, at: int = 2) -> None:
        self._ends, self._at, self._made = ends, at, 0
        self.seen: list[tuple[int, TrainedVae]] = []

    def __call__(self) -> Watch:
        number, self._made = self._made, self._made + 1

        def watch(epochs_done: int, so_far: Callable[[], TrainedVae]) -> bool:
            self.seen.append((number, so_far()))
            assert len(self.seen[-1][1].loss_nats) == epochs_done
            return number == self._ends and epochs_done == self._at

        return watch


def _assert_equal(found: TrainedVae, expected: TrainedVae) -> None:
    np.testing.assert_array_equal(found.loss_nats, expected.loss_nats)
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], weight, err_msg=name)
    assert (found.diverged, found.stopped) == (expected.diverged, expected.stopped)


def _trained(few: Patches, settings: VaeSettings, looks: _Looks | None) -> tuple[TrainedVae, ...]:
    (found,) = train_many(
        [Request(settings=settings, patches=few, seeds=SEEDS, watch=looks)],
    )
    return found


@every_engine
@every_decoder
def test_a_training_that_is_only_looked_at_has_the_same_bits(
    few: Patches, engine: str, invariances: str
) -> None:
    _here(engine)
    settings, looks = _settings(engine, invariances=invariances), _Looks()
    plain, watched = _trained(few, settings, None), _trained(few, settings, looks)
    assert len(looks.seen) == len(SEEDS) * (EPOCHS - 1)  # not behind the last epoch
    for found, expected in zip(watched, plain, strict=True):
        _assert_equal(found, expected)


@every_engine
@every_decoder
def test_one_that_is_ended_keeps_what_it_has_learnt_and_the_others_go_on(
    few: Patches, engine: str, invariances: str
) -> None:
    _here(engine)
    settings, looks = _settings(engine, invariances=invariances), _Looks(ends=1)
    plain, found = _trained(few, settings, None), _trained(few, settings, looks)
    assert [vae.stopped for vae in found] == [False, True, False]
    assert [len(vae.loss_nats) for vae in found] == [EPOCHS, 2, EPOCHS]
    assert not any(vae.diverged for vae in found)
    for member in (0, 2):  # in a smaller stack: up to the rounding of sums
        np.testing.assert_allclose(found[member].loss_nats, plain[member].loss_nats, rtol=1e-5)
        for name, weight in plain[member].weights.items():
            np.testing.assert_allclose(found[member].weights[name], weight, atol=2e-5)
    short = settings.model_copy(update={"epochs": 2})
    expected = replace(_trained(few, short, None)[1], stopped=True)
    _assert_equal(found[1], expected)
    assert found[1].config["epochs"] == EPOCHS  # what was asked for
    seen = [vae for number, vae in looks.seen if number == 1]
    assert len(seen) == 2
    for name, weight in seen[-1].weights.items():
        np.testing.assert_array_equal(found[1].weights[name], weight)


@every_engine
def test_of_requests_that_share_a_trainer_only_the_ended_one_leaves(
    few: Patches, engine: str
) -> None:
    _here(engine)
    tables: list[dict[str, Any]] = [{}, {"latent_dim": 1}, {"kl_scale": 0.3}]
    requests = [
        Request(
            settings=_settings(engine, **table),
            patches=few,
            seeds=SEEDS[:1],
            watch=_Looks(ends=0) if number == 1 else None,
        )
        for number, table in enumerate(tables)
    ]
    found = train_many(requests)
    assert [vae.stopped for (vae,) in found] == [False, True, False]
    for request, (vae,) in zip(requests, found, strict=True):
        if not vae.stopped:
            alone = train(request.settings, few, seeds=SEEDS[0])
            np.testing.assert_allclose(vae.loss_nats, alone.loss_nats, rtol=1e-5)


class _Fragile(InvariantVae):
    """Without a finite loss from the beginning if its KL weight is 0.3."""

    def __init__(self, settings: VaeSettings, size_px: int) -> None:
        super().__init__(settings, size_px)
        if settings.kl_scale == 0.3:
            torch.nn.init.constant_(self.encoder.mean.bias, torch.nan)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, which interprets
@every_engine
@every_decoder
def test_one_that_diverges_ends_at_once_and_the_others_go_on(
    few: Patches, engine: str, invariances: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _here(engine)
    monkeypatch.setattr(model, "InvariantVae", _Fragile)
    requests = [
        Request(
            settings=_settings(engine, invariances=invariances, kl_scale=kl_scale),
            patches=few,
            seeds=SEEDS[:1],
        )
        for kl_scale in (0.1, 0.3)
    ]
    (healthy,), (broken,) = train_many(requests)
    assert (healthy.diverged, broken.diverged) == (False, True)
    assert (len(healthy.loss_nats), len(broken.loss_nats)) == (EPOCHS, 0)
    assert all(np.isfinite(array).all() for array in healthy.weights.values())


def test_one_that_has_diverged_is_not_looked_at_again(few: Patches) -> None:
    looks = _Looks()
    settings = _settings("fast", invariances="none", learning_rate=1e6, epochs=20)
    vaes = _trained(few, settings, looks)
    assert all(vae.diverged and not vae.stopped for vae in vaes)
    assert len(looks.seen) == sum(len(vae.loss_nats) for vae in vaes) < 20 * len(SEEDS)
    for _, vae in looks.seen:
        assert all(np.isfinite(array).all() for array in vae.weights.values())


def test_a_group_that_trains_again_in_halves_is_watched_from_its_beginning(
    few: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, calls = _Looks(), [0]
    settings = _settings("triton", invariances="rotation")
    _here("triton")
    epoch = GpuTrainer.epoch

    def fails_once(self: Any, members: Any, rate: float) -> list[float]:
        calls[0] += 1
        if calls[0] == 3:
            raise torch.OutOfMemoryError("too small")
        return epoch(self, members, rate)

    monkeypatch.setattr(GpuTrainer, "epoch", fails_once)
    requests = [
        Request(settings=settings, patches=few, seeds=(seeds,), watch=looks) for seeds in SEEDS[:2]
    ]
    (found,) = train_groups(requests)
    assert all(not isinstance(training, Exception) for training in found.values())
    by_watch: dict[int, list[int]] = {number: [] for number in range(4)}
    for number, vae in looks.seen:
        by_watch[number].append(len(vae.loss_nats))
    whole = list(range(1, EPOCHS))
    assert by_watch == {0: whole, 1: whole, 2: whole, 3: whole}


@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_the_posterior_is_that_of_the_encoding(
    untrained: Callable[..., TrainedVae], patches: Patches, invariances: str
) -> None:
    vae = untrained(invariances=invariances, latent_dim=3)
    alone, whole = posterior(vae, patches), encode(vae, patches)
    for name, values in alone._asdict().items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, getattr(whole, name))
