"""The batched engine of Gaussian mixtures: the laws that hold for scikit-learn's hold for it."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import GaussianMixtureFit, Mixture
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.em import fit_grid
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.testing.contracts import check_mixture
from vaeopt.workflow.settings import Workflow

Array = NDArray[np.float64]
BATCHED = Gmm(components=(1, 5), n_init=2, engine="batched")
MEANS = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])
LABEL = np.random.default_rng(1).choice(4, 300, p=[0.35, 0.3, 0.2, 0.15])
Z = MEANS[LABEL] + 0.3 * np.random.default_rng(0).standard_normal((300, 2))


def _fit(z: Array, model: Gmm = BATCHED) -> Mixture:
    kept = np.ones(len(z), dtype=bool)
    return model.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(0, 0))


@functools.cache
def _four() -> Mixture:
    return _fit(Z)


def _cost(fit: GaussianMixtureFit) -> float:
    bic = kernel.bic(fit.log_likelihood_total, fit.n_free, fit.n_points)
    return kernel.structural_cost(bic, fit.entropy_total, fit.n_points, 1.0)


def test_it_keeps_the_contract_of_mixtures() -> None:
    check_mixture(BATCHED)


def test_P5_four_clusters_are_four_components() -> None:
    mixture = _four()
    assert mixture.best is not None
    assert mixture.best.n_components == 4
    assert adjusted_rand_score(LABEL, mixture.component) > 0.95


def test_both_engines_agree_where_the_optimum_is_clear() -> None:
    theirs = _fit(Z, BATCHED.model_copy(update={"engine": "scikit-learn"}))
    for k in (0, 3):
        ours, other = _four().fits[k], theirs.fits[k]
        assert ours.log_likelihood_total == pytest.approx(other.log_likelihood_total, abs=0.05)
        assert ours.log_likelihood_total > other.log_likelihood_total - 300 * 1e-6


# Powers of two scale without rounding; 2**-11 brings the variances below reg_covar itself.
@pytest.mark.parametrize("factor", [8.0, 2.0**-11])
def test_P1_in_raw_space_a_scaled_latent_costs_d_log_a_more(factor: float) -> None:
    raw = BATCHED.model_copy(update={"space": "raw"})
    for small, large in zip(_fit(Z, raw).fits, _fit(factor * Z, raw).fits, strict=True):
        assert _cost(large) - _cost(small) == pytest.approx(2 * np.log(factor), abs=1e-6)


@pytest.mark.parametrize(
    "z",
    [Z * [1.0, 0.0], np.concatenate([Z[:60], np.repeat(Z[:1], 40, axis=0)])],
    ids=["constant-unit", "duplicates"],
)
@pytest.mark.parametrize("space", ["raw", "whiten"])
def test_P3_what_no_likelihood_bounds_is_no_mixture(z: Array, space: Any) -> None:
    assert _fit(z, BATCHED.model_copy(update={"space": space})).failure != ""


def test_P3_singular_covariances_are_not_proper_fits() -> None:
    places = np.repeat([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], 20, axis=0)
    one, three = fit_grid(places, [1, 3], starts=3, max_iter=50, tol=1e-5, reg_covar=0.0, seed=0)
    assert one.proper
    assert not three.proper


@pytest.mark.parametrize(("points", "sizes"), [(4, [1, 2, 3, 4]), (3, [1, 2, 3])])
def test_fewer_points_than_components_leave_the_smaller_ones(points: int, sizes: list[int]) -> None:
    assert [fit.n_components for fit in _fit(Z[:points]).fits] == sizes


def test_a_grid_beyond_the_points_is_no_mixture() -> None:
    beyond = _fit(Z[:4], BATCHED.model_copy(update={"components": (5, 6)}))
    assert beyond.failure == "no K in the grid has enough points"


def test_a_fit_that_has_not_converged_is_rejected() -> None:
    hasty = BATCHED.model_copy(update={"components": (1, 4), "max_iter": 2, "tol": 1e-12})
    assert _fit(Z, hasty).fits[2].rejected == "K = 3: not converged after 2 steps"
    assert _fit(Z, hasty).fits[0].rejected == ""


def test_the_preset_of_the_paper_keeps_the_engine_of_the_paper() -> None:
    paper = Workflow.model_validate({"preset": "paper"}).mixture
    assert isinstance(paper, Gmm)
    assert paper.engine == "scikit-learn"
