"""Bayesian mixture in Pyro: what the fit finds, what it keeps to itself, and what it refuses."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import functools
import math
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from vaeopt.core.errors import SettingsError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import ElboEstimate, GaussianMixtureFit, Mixture
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.svi import settled
from vaeopt.stages.density_filter.quantile import Quantile
from vaeopt.stages.mixture import variational
from vaeopt.stages.mixture.bgmm import Bgmm

Array = NDArray[np.float64]
QUICK = Bgmm(max_components=4, steps=120, elbo_draws=8, engine="pyro")
PAPER = {
    "engine": "pyro",
    "space": "raw",
    "init": "median",
    "prior_sd": 0.05,
    "learning_rate": 5e-3,
    "stop_gain_nats": 0.0,
}


def _clusters(d: int, n: int = 120, seed: int = 0) -> Array:
    """Two far clusters, half of the points each."""
    z = np.random.default_rng(seed).standard_normal((n, d))
    z[: n // 2] += 8.0
    return z


def _fit(z: Array, model: Bgmm, seed: int = 0) -> Mixture:
    kept = np.ones(len(z), dtype=bool)
    return model.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(seed, 0))


@functools.cache
def _quick(d: int = 2) -> Mixture:
    return _fit(_clusters(d), QUICK)


def _found(mixture: Mixture) -> tuple[GaussianMixtureFit, ElboEstimate]:
    assert mixture.failure == ""
    assert mixture.best is not None
    assert mixture.elbo is not None
    return mixture.best, mixture.elbo


# ---- the fit


@pytest.mark.parametrize("d", [1, 2, 3])
def test_two_far_clusters_share_no_component(d: int) -> None:
    mixture = _quick(d)
    fit, _ = _found(mixture)
    assert not set(mixture.component[:60]) & set(mixture.component[60:])
    assert fit.covariances.shape == (4, d, d)
    assert (np.linalg.eigvalsh(fit.covariances) > 0).all()
    assert fit.weights.sum() == pytest.approx(1.0)


def test_the_figures_are_those_of_the_median_on_the_fitted_points() -> None:
    kept = np.ones(120, dtype=bool)
    kept[::6] = False
    index = np.flatnonzero(kept)[:90]
    mixture = QUICK.fit(_clusters(2), kept=kept, fit_index=index, seeds=Seeds(0, 0))
    fit, _ = _found(mixture)
    points = (_clusters(2)[index] - mixture.shift) @ mixture.transform.T
    np.testing.assert_allclose(points.std(axis=0), 1.0)
    joint = kernel.log_joint(points, fit.weights, fit.means, fit.covariances)
    assert fit.log_likelihood_total == pytest.approx(kernel.log_likelihood(joint).sum())
    assert fit.entropy_total == pytest.approx(kernel.entropy(kernel.responsibilities(joint)))
    assert (fit.n_components, fit.n_points, fit.n_free) == (4, 90, 23)
    assert mixture.responsibilities.shape == (120, 4)
    assert mixture.core.any()
    assert not mixture.core[~kept].any()


def test_the_bound_is_below_the_likelihood_of_the_best_mixture() -> None:
    """log evidence <= max log-likelihood, so the cost is above that of the best parameters."""
    from sklearn.mixture import GaussianMixture

    mixture = _quick()
    points = (_clusters(2) - mixture.shift) @ mixture.transform.T
    best = GaussianMixture(4, n_init=3, random_state=0).fit(points).score(points)
    assert _found(mixture)[1].cost_nats > -best


def test_the_standard_error_is_that_of_the_draws() -> None:
    """16 times as many draws of the same guide: about a quarter of the error, the same mean."""
    few, many = (
        _found(_fit(_clusters(2), QUICK.model_copy(update={"elbo_draws": n})))[1] for n in (16, 256)
    )
    assert (few.draws, many.draws) == (16, 256)
    assert many.standard_error_nats == pytest.approx(few.standard_error_nats / 4, rel=0.5)
    assert abs(few.cost_nats - many.cost_nats) < 4 * few.standard_error_nats


def test_the_overlap_acts_on_the_fit() -> None:
    """One cloud: a strong penalty leaves less overlap than none."""
    z = np.random.default_rng(0).standard_normal((120, 2))
    o = []
    for weight in (0.0, 20.0):
        fit, _ = _found(_fit(z, QUICK.model_copy(update={"overlap_weight": weight})))
        o.append(kernel.overlap(fit.weights, fit.means, fit.covariances))
    assert o[1] < 0.5 * o[0]


def test_the_overlap_is_not_in_the_reported_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same guide, whatever lambda: the fit takes no step, so that parameters are the same."""
    monkeypatch.setattr(variational, "_train", lambda *_: (0, False))
    free, fined = (
        _found(_fit(_clusters(2), QUICK.model_copy(update={"overlap_weight": weight})))
        for weight in (0.0, 1e6)
    )
    np.testing.assert_array_equal(free[0].means, fined[0].means)
    assert free[1] == fined[1]


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        ([2.0] * 200 + [1.9995] * 200, True),
        ([2.0] * 200 + [1.9985] * 200, False),
        ([2.0] * 399, False),  # too early
        ([2.0] * 410, False),  # between two checks
        ([9.0] * 50 + [2.0] * 400, True),  # only the last 400 count
    ],
    ids=["flat", "falling", "early", "between", "window"],
)
def test_the_stopping_rule(losses: list[float], ends: bool) -> None:
    assert settled(losses, 1e-3) is ends
    assert not settled(losses, 0.0)


def test_a_settled_fit_stops_before_its_last_step() -> None:
    calm = QUICK.model_copy(update={"steps": 500, "stop_gain_nats": 5.0})
    _, elbo = _found(_fit(_clusters(1), calm))
    assert (elbo.steps, elbo.converged) == (400, True)
    _, elbo = _found(_quick())
    assert (elbo.steps, elbo.converged) == (120, False)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"concentration": "fixed"},
        {"means_prior": "normal0"},
        {"prior_on": "variance"},
        {"overlap": "sum"},
    ],
    ids=str,
)
def test_options_of_the_paper_can_be_fitted(options: dict[str, Any], d: int) -> None:
    table = {"kind": "bgmm", **PAPER, "steps": 20, "elbo_draws": 4, **options}
    mixture = _fit(_clusters(d) / 4, Bgmm.from_table(table))
    fit, elbo = _found(mixture)
    assert math.isfinite(elbo.cost_nats)
    assert fit.n_components == 20
    np.testing.assert_array_equal(mixture.transform, np.eye(d))


def test_in_raw_space_the_scale_is_seen_and_in_standard_space_it_is_not() -> None:
    z = _clusters(2) / 8
    costs = {
        (space, factor): _found(
            _fit(factor * z, QUICK.model_copy(update={"space": space, "steps": 20}))
        )[1].cost_nats
        for space in ("raw", "standard")
        for factor in (1.0, 2.0)
    }
    assert costs["standard", 1.0] == pytest.approx(costs["standard", 2.0], abs=1e-9)
    assert abs(costs["raw", 1.0] - costs["raw", 2.0]) > 0.1
    assert Bgmm(space="raw").raw_space
    assert not Bgmm().raw_space


# ---- nothing global changes


def test_the_same_seeds_give_the_same_figures_whatever_else_draws() -> None:
    first = _quick()
    torch.rand(3)
    np.random.random(3)  # noqa: NPY002  # the global state is what must not matter
    again = _fit(_clusters(2), QUICK)
    assert first.elbo == again.elbo
    np.testing.assert_array_equal(first.responsibilities, again.responsibilities)
    assert _fit(_clusters(2), QUICK, seed=1).elbo != first.elbo


@pytest.mark.parametrize("learning_rate", [2e-2, 1e6], ids=["fitted", "failed"])
def test_a_fit_leaves_no_trace(learning_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    train = variational._train

    def spied(*args: Any) -> Any:
        threads.append(torch.get_num_threads())
        return train(*args)

    monkeypatch.setattr(variational, "_train", spied)
    before = torch.get_num_threads()
    state = torch.get_rng_state()
    numbers: Any = np.random.get_state()  # noqa: NPY002
    store: Any = pyro.get_param_store()
    with store.scope():
        mine = pyro.param("mine", torch.ones(2))
        torch.set_num_threads(2)
        try:
            _fit(_clusters(2), QUICK.model_copy(update={"learning_rate": learning_rate}))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert list(store.keys()) == ["mine"]
        assert torch.equal(pyro.param("mine"), mine)
    assert threads == [1]
    assert torch.equal(torch.get_rng_state(), state)
    after: Any = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], numbers[1])
    distributions: Any = pyro.distributions
    assert distributions.is_validation_enabled()


def test_pyro_is_imported_by_the_first_fit_only() -> None:
    code = "import sys, vaeopt.stages.mixture; sys.exit('pyro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


# ---- what is refused

_GOOD = _clusters(2)


@pytest.mark.parametrize(
    ("z", "options", "reason"),
    [
        (np.zeros((50, 2)), {}, r"fewer distinct points than dimensions \+ 1"),
        (_GOOD[:1], {}, r"fewer distinct points than dimensions \+ 1"),
        (_GOOD[:0], {}, r"fewer distinct points than dimensions \+ 1"),
        (_GOOD * [1.0, 0.0], {}, "do not span the latent space"),
        (_GOOD * [0.2, 0.0] + 0.1, {"space": "raw"}, "do not span the latent space"),
        (_GOOD[:, :1] * [0.2, 0.4], {"space": "raw"}, "do not span the latent space"),
        (_GOOD[:, :1] * [1.0, 2.0], {}, "do not span the latent space"),
        (
            np.concatenate([_GOOD[:60], np.repeat(_GOOD[:1], 40, axis=0)]),
            {},
            "41 of 100 fitted points lie where more than 3 are the same",
        ),
        (_GOOD[::40], {}, "3 distinct points are fewer than the 4 components"),
        (
            np.concatenate([_GOOD, [(90.0, 0.0)]]),
            {},
            r"lies at 9.6, outside the prior of the means \(-5, 5\) in standard space",
        ),
        (_GOOD, {"space": "raw"}, "outside the prior of the means"),
        (_GOOD, {"learning_rate": 1e6}, "a covariance of the mixture has lost its rank"),
        (
            _GOOD,
            {"learning_rate": 1e6, "overlap_weight": 0.0},
            r"the evidence bound is not a number in step \d+",
        ),
    ],
    ids=[
        "same-place",
        "one-point",
        "no-points",
        "constant-unit",
        "constant-unit-raw",
        "line-raw",
        "line",
        "duplicates",
        "few-points",
        "outlier",
        "raw-scale",
        "rank",
        "not-a-number",
    ],
)
def test_P3_what_cannot_be_fitted_is_no_mixture_with_a_reason(
    z: Array, options: dict[str, Any], reason: str
) -> None:
    mixture = _fit(z, QUICK.model_copy(update=options))
    assert re.search(reason, mixture.failure), mixture.failure
    assert mixture.best is None
    assert mixture.elbo is None
    assert mixture.responsibilities.shape == (len(z), 0)


def test_an_outlier_that_is_not_fitted_does_no_harm() -> None:
    z = np.concatenate([_GOOD, [(90.0, 0.0)]])
    kept = np.ones(121, dtype=bool)
    kept[-1] = False
    mixture = QUICK.fit(z, kept=kept, fit_index=np.arange(120), seeds=Seeds(0, 0))
    assert np.isfinite(mixture.responsibilities).all()
    assert mixture.responsibilities.shape == (121, 4)


def test_an_outlier_can_be_fitted_under_the_normal_prior() -> None:
    z = np.concatenate([_GOOD, [(90.0, 0.0)]])
    assert _fit(z, QUICK.model_copy(update={"means_prior": "normal0"})).failure == ""


def test_points_that_are_the_same_but_for_rounding_are_refused() -> None:
    z = np.repeat([(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)], 40, axis=0)
    z += 1e-9 * np.random.default_rng(0).standard_normal(z.shape)
    assert "120 of 120 fitted points lie where more than 3 are the same" in _fit(z, QUICK).failure


def test_a_few_copies_among_many_points_do_no_harm() -> None:
    z = np.concatenate([_clusters(2, 700), np.repeat(_GOOD[:1], 5, axis=0)])
    assert _fit(z, QUICK.model_copy(update={"steps": 5})).failure == ""


@pytest.mark.parametrize(
    "settings",
    [{"max_components": 1}, {"alpha": 0.0}, {"elbo_draws": 1}, {"overlap_weight": -0.1}],
    ids=str,
)
def test_settings_have_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        Bgmm(**settings)


# ---- P5


def test_P5_four_clusters_are_four_heavy_components() -> None:
    """The default recipe, with fewer points and components and longer steps for speed."""
    rng = np.random.default_rng(0)
    label = rng.choice(4, 300, p=[0.35, 0.3, 0.2, 0.15])
    means = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])
    sds = np.array([0.25, 0.3, 0.35, 0.3])
    z = means[label] + sds[label, None] * rng.standard_normal((300, 2))
    kept = Quantile()(z)
    model = Bgmm(max_components=5, learning_rate=5e-2)
    mixture = model.fit(z, kept=kept, fit_index=np.flatnonzero(kept), seeds=Seeds(0, 0))
    fit, elbo = _found(mixture)
    assert elbo.converged
    assert kernel.effective_components(fit.weights) == 4
    assert adjusted_rand_score(label[kept], mixture.component[kept]) > 0.98
    assert kernel.entropy(mixture.responsibilities[kept]) / kept.sum() < 0.05
