"""Many fits at once are the fits alone, whichever engine a device has."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from vaeopt.core.errors import SettingsError, VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Bools, Floats, Ints, Mixture
from vaeopt.kernels.mixture.stacked.em import fit_grids
from vaeopt.stages.mixture import FitRequest, MixtureModel, direct, gmm
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.mixture.gmm import Gmm

GMM = Gmm(components=(1, 3), n_init=1)
BGMM = Bgmm(steps=60, max_components=4, elbo_draws=4)
MODELS = pytest.mark.parametrize("model", [GMM, BGMM], ids=["gmm", "bgmm"])


def _request(n: int, d: int, seed: int, *, flat: bool = False) -> FitRequest:
    """Two clusters of patches, half of them fitted; or all of them on a line."""
    rng = np.random.default_rng([n, d, seed])
    z = rng.standard_normal((n, d)) + 9 * (np.arange(n) < n // 3)[:, None]
    z[:, 0] *= not flat
    index = np.sort(rng.permutation(n)[: n // 2])
    return FitRequest(z=z, kept=np.ones(n, bool), fit_index=index, seeds=Seeds(seed, 0))


REQUESTS = [
    _request(200, 2, 0),
    _request(200, 3, 1),
    _request(200, 2, 2, flat=True),
    _request(300, 2, 3),
    _request(200, 2, 4),
    _request(200, 2, 5),
]


def _alone(model: MixtureModel) -> list[Mixture]:
    return [
        model.fit(one.z, kept=one.kept, fit_index=one.fit_index, seeds=one.seeds)
        for one in REQUESTS
    ]


def _together(mixture: Mixture) -> Floats:
    """(n, n) how probably two patches share a component: its number means nothing."""
    tau = mixture.responsibilities
    return np.asarray(tau @ tau.T)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine with a GPU, for which the CPU computes; how many fits each batch had."""
    sizes: list[int] = []
    cpu, gpu = torch.device("cpu"), torch.device("cuda:0")

    def grids(points: Any, *args: Any, device: torch.device, **more: Any) -> Any:
        assert device == gpu
        sizes.append(len(points))
        return fit_grids(points, *args, device=cpu, **more)

    original = direct.fit_together

    def guides(settings: Any, points: Any, *, device: torch.device, **more: Any) -> Any:
        assert device == gpu
        sizes.append(len(points))
        return original(settings, points, device=cpu, **more)

    monkeypatch.setattr(gmm, "fit_grids", grids)
    monkeypatch.setattr(direct, "fit_together", guides)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    return sizes


@MODELS
def test_on_a_gpu_fits_of_one_shape_are_one_batch(model: MixtureModel, batches: list[int]) -> None:
    expected = _alone(model.model_copy(update={"device": "cpu"}))
    assert batches == []
    found = model.model_copy(update={"device": "cuda:0"}).fit_many(REQUESTS)
    assert sorted(batches) == [1, 1, 3]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.failure == theirs.failure
        assert ours.chosen == theirs.chosen
        np.testing.assert_array_equal(ours.fit_index, theirs.fit_index)
        np.testing.assert_allclose(_together(ours), _together(theirs), atol=1e-5)
        if theirs.elbo is not None:
            assert ours.elbo is not None
            assert ours.elbo.cost_nats == pytest.approx(theirs.elbo.cost_nats, rel=1e-7)
    assert found[2].failure


def test_a_batch_that_is_too_large_is_several(
    batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = BGMM.model_copy(update={"device": "cuda:0"})
    whole = there.fit_many(REQUESTS)
    monkeypatch.setattr(direct, "_NUMBERS", 2 * 100 * BGMM.max_components)
    for ours, theirs in zip(there.fit_many(REQUESTS), whole, strict=True):
        np.testing.assert_allclose(ours.responsibilities, theirs.responsibilities, atol=1e-7)
    assert sorted(batches) == [1, 1, 1, 1, 3, 3]


@MODELS
def test_on_the_cpu_they_are_fitted_one_after_the_other(model: MixtureModel) -> None:
    """To the last bit, so that scores do not depend on who shares a batch."""
    alone = _alone(model)
    for ours, theirs in zip(model.fit_many(REQUESTS), alone, strict=True):
        np.testing.assert_array_equal(ours.responsibilities, theirs.responsibilities)


@MODELS
def test_few_points_stay_on_the_cpu(model: MixtureModel, batches: list[int]) -> None:
    model.fit_many(REQUESTS[:1])
    assert batches == []


@MODELS
def test_a_single_fit_may_be_sent_to_the_gpu(model: MixtureModel, batches: list[int]) -> None:
    one = REQUESTS[0]
    there = model.model_copy(update={"device": "cuda:0"})
    there.fit(one.z, kept=one.kept, fit_index=one.fit_index, seeds=one.seeds)
    assert batches == [1]


@pytest.mark.parametrize(
    "model",
    [
        GMM.model_copy(update={"engine": "scikit-learn"}),
        BGMM.model_copy(update={"engine": "pyro", "steps": 3}),
    ],
    ids=["gmm", "bgmm"],
)
def test_engines_of_others_know_no_device(model: MixtureModel, batches: list[int]) -> None:
    model.model_copy(update={"device": "cuda:0"}).fit_many(REQUESTS[:1])
    assert batches == []


@MODELS
def test_a_gpu_that_is_not_there_is_one_line(model: MixtureModel) -> None:
    there = model.model_copy(update={"device": "cuda:99"})
    with pytest.raises(VaeoptError, match=r"\.device: device 'cuda:99' is not there"):
        there.fit_many(REQUESTS[:1])
    with pytest.raises(SettingsError, match="device"):
        type(model)(device="gpu")  # type: ignore[call-arg]


def test_a_subclass_with_a_fit_of_its_own_is_asked_for_it() -> None:
    class Shrunk(Gmm):
        seen: ClassVar[list[int]] = []

        def fit(self, z: Floats, *, kept: Bools, fit_index: Ints, seeds: Seeds) -> Mixture:
            self.seen.append(len(z))
            return super().fit(z / 2, kept=kept, fit_index=fit_index, seeds=seeds)

    found = Shrunk(components=(1, 2), n_init=1).fit_many(REQUESTS[:2])
    assert Shrunk.seen == [200, 200]
    assert all(mixture.chosen is not None for mixture in found)


needs_gpu = pytest.mark.gpu


@needs_gpu
@MODELS
def test_a_gpu_and_the_cpu_agree(model: MixtureModel) -> None:
    found = model.model_copy(update={"device": "cuda"}).fit_many(REQUESTS)
    alone = _alone(model.model_copy(update={"device": "cpu"}))
    for ours, theirs in zip(found, alone, strict=True):
        assert ours.failure == theirs.failure
        np.testing.assert_allclose(_together(ours), _together(theirs), atol=1e-4)
