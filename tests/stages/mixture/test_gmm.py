"""Gaussian mixtures: how many components, in which space, and what degenerate latents give."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import functools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from vaeopt.core.errors import SettingsError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import GaussianMixtureFit, Mixture
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.density_filter.quantile import Quantile
from vaeopt.stages.mixture import choose_points
from vaeopt.stages.mixture.gmm import Gmm

Array = NDArray[np.float64]
CLUSTER_MEANS = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])
CLUSTER_SDS = np.array([0.25, 0.3, 0.35, 0.3])


def _four_clusters(n: int = 1500, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=[0.35, 0.3, 0.2, 0.15])
    return CLUSTER_MEANS[label] + CLUSTER_SDS[label, None] * rng.standard_normal((n, 2)), label


def _fit(z: Array, model: Gmm, seed: int = 0) -> Mixture:
    everything = np.arange(len(z))
    kept = np.ones(len(z), dtype=bool)
    return model.fit(z, kept=kept, fit_index=everything, seeds=Seeds(seed, 0))


def _filtered_fit(z: Array, n_init: int = 2) -> Mixture:
    """The default filter, and a mixture that differs from the default in its effort only."""
    kept = Quantile()(z)
    model = Gmm(components=(1, 6), n_init=n_init)
    return model.fit(z, kept=kept, fit_index=choose_points(kept, 2000, 0), seeds=Seeds(0, 0))


def _cost(fit: GaussianMixtureFit, weight: float = 1.0) -> float:
    bic = kernel.bic(fit.log_likelihood_total, fit.n_free, fit.n_points)
    return kernel.structural_cost(bic, fit.entropy_total, fit.n_points, weight)


def _gain(mixture: Mixture) -> float:
    assert mixture.best is not None
    return _cost(mixture.fits[0]) - _cost(mixture.best)


SMALL, SMALL_LABEL = _four_clusters(240, seed=1)
QUICK = Gmm(components=(1, 5), n_init=2)


@functools.cache
def _small() -> Mixture:
    return _fit(SMALL, QUICK)


# ---- P5: how many components


@functools.cache
def _four() -> Mixture:
    return _filtered_fit(_four_clusters()[0])


def test_P5_four_clusters_are_four_components() -> None:
    mixture = _four()
    assert mixture.best is not None
    assert mixture.best.n_components == 4
    assert len(mixture.fit_index) == 1350


def test_P5_four_clusters_have_their_gain() -> None:
    assert _gain(_four()) == pytest.approx(1.37, abs=0.05)


def test_P5_four_clusters_are_told_apart() -> None:
    label, mixture = _four_clusters()[1], _four()
    assert adjusted_rand_score(label[mixture.kept], mixture.component[mixture.kept]) > 0.98
    assert adjusted_rand_score(label, mixture.component) > 0.98


def test_P5_one_gaussian_is_one_component_without_gain() -> None:
    mixture = _filtered_fit(np.random.default_rng(0).standard_normal((1500, 2)))
    assert mixture.best is not None
    assert mixture.best.n_components == 1
    assert _gain(mixture) == 0.0


def test_P5_four_clusters_on_a_background_are_four_components() -> None:
    z, label = _four_clusters()
    rng = np.random.default_rng(10)
    background = rng.permutation(1500)[:450]
    z[background] = 1.3 * rng.standard_normal((450, 2))
    mixture = _filtered_fit(z, n_init=Gmm().n_init)
    assert mixture.best is not None
    assert mixture.best.n_components == 4
    clusters = np.setdiff1d(np.flatnonzero(mixture.kept), background)
    assert adjusted_rand_score(label[clusters], mixture.component[clusters]) > 0.95


# ---- P1: scale


# Powers of two scale without rounding; 2**-11 brings the variances below reg_covar itself.
@pytest.mark.parametrize("factor", [8.0, 2.0**-11])
def test_P1_in_raw_space_a_scaled_latent_costs_d_log_a_more(factor: float) -> None:
    raw = Gmm(components=(1, 4), n_init=2, space="raw")
    before, after = _fit(SMALL, raw), _fit(factor * SMALL, raw)
    for small, large in zip(before.fits, after.fits, strict=True):
        assert _cost(large) - _cost(small) == pytest.approx(2 * np.log(factor), abs=1e-6)


@pytest.mark.parametrize("factor", [8.0, 2.0**-11])
def test_P1_the_gain_does_not_change_with_the_scale_in_raw_space(factor: float) -> None:
    raw = Gmm(components=(1, 4), n_init=2, space="raw")
    assert _gain(_fit(factor * SMALL, raw)) == pytest.approx(_gain(_fit(SMALL, raw)), abs=1e-6)


@pytest.mark.parametrize(
    "linear", [[[40, 0], [0, 0.01]], [[2, 0.5], [0, 0.1]], [[0, -1], [1, 0]]], ids=str
)
def test_P1_the_whitened_gain_does_not_change_under_any_affine_map(
    linear: list[list[float]],
) -> None:
    mapped = SMALL @ np.asarray(linear, dtype=float).T + [5.0, -3.0]
    assert _gain(_fit(mapped, QUICK)) == pytest.approx(_gain(_small()), abs=1e-4)


def test_raw_and_whitened_costs_differ_by_the_log_determinant() -> None:
    raw = _fit(SMALL, Gmm(components=(1, 4), n_init=2, space="raw"))
    assert raw.log_det_whitening == 0.0
    white = _small()
    for k in (0, 3):  # one and four components, which both find
        expected = _cost(white.fits[k]) - white.log_det_whitening
        assert _cost(raw.fits[k]) == pytest.approx(expected, abs=1e-3)


# ---- P3: degenerate latents


@pytest.mark.parametrize("space", ["whiten", "standard"])
@pytest.mark.parametrize(
    ("z", "reason"),
    [
        (np.zeros((50, 2)), "fewer distinct points than dimensions + 1"),
        (np.repeat(SMALL[:2], 25, axis=0), "fewer distinct points than dimensions + 1"),
        (SMALL[:2], "fewer distinct points than dimensions + 1"),
        (SMALL[:0], "fewer distinct points than dimensions + 1"),
        (SMALL * [1.0, 0.0], "do not span the latent space"),
    ],
    ids=["duplicates", "two-places", "two-points", "no-points", "constant-unit"],
)
def test_P3_degenerate_latents_are_no_mixture_with_a_reason(
    z: Array, reason: str, space: str
) -> None:
    model = Gmm(components=(1, 3), n_init=1, space="whiten" if space == "whiten" else "standard")
    mixture = _fit(z, model)
    assert reason in mixture.failure
    assert mixture.best is None
    assert mixture.component.tolist() == [-1] * len(z)
    assert mixture.responsibilities.shape == (len(z), 0)
    assert not mixture.core.any()


def test_P3_a_line_is_degenerate_when_whitened() -> None:
    assert "do not span" in _fit(SMALL[:, :1] * [1.0, 2.0], QUICK).failure


@pytest.mark.parametrize("space", ["whiten", "standard", "raw"])
@pytest.mark.parametrize(
    "z", [SMALL * [1.0, 0.0], SMALL[:, :1] * [1.0, 2.0]], ids=["constant-unit", "oblique-line"]
)
def test_P3_what_does_not_span_the_space_is_no_mixture_in_any_space(z: Array, space: Any) -> None:
    """The likelihood has no bound on a line; the product of the variances does not see it."""
    found = _fit(z, Gmm(components=(1, 3), n_init=1, space=space))
    assert "do not span the latent space" in found.failure


@pytest.mark.parametrize("space", ["whiten", "standard", "raw"])
def test_P3_exact_duplicates_beside_others_are_no_mixture(space: Any) -> None:
    z = np.concatenate([SMALL[:60], np.repeat(SMALL[:1], 40, axis=0)])
    found = _fit(z, Gmm(components=(1, 3), n_init=1, space=space))
    assert "41 of 100 fitted points lie where more than 3 are the same" in found.failure


def test_a_few_copies_among_many_points_are_fitted() -> None:
    z = np.random.default_rng(0).standard_normal((600, 2))
    mixture = _fit(np.concatenate([z, np.repeat(z[:1], 4, axis=0)]), QUICK)
    assert mixture.failure == ""
    assert np.isfinite(mixture.responsibilities).all()


def test_fewer_points_than_components_leave_the_smaller_ones() -> None:
    mixture = _fit(SMALL[:4], Gmm(components=(1, 9), n_init=1))
    assert [fit.n_components for fit in mixture.fits] == [1, 2, 3, 4]


# ---- which fit is chosen


def test_the_chosen_fit_is_the_cheapest_allowed_one() -> None:
    mixture = _small()
    costs = {i: _cost(fit) for i, fit in enumerate(mixture.fits) if not fit.rejected}
    assert mixture.chosen == min(costs, key=lambda i: costs[i])
    assert mixture.chosen == 3


@pytest.mark.parametrize(("weight", "n_components"), [(0.0, 2), (None, 2), (8.0, 1)])
def test_the_selection_weight_chooses_by_its_own_cost(
    weight: float | None, n_components: int
) -> None:
    """Two overlapping clusters: worth it for the likelihood, not for the entropy."""
    z = np.random.default_rng(0).standard_normal((400, 1))
    z[:200] += 4.0
    mixture = _fit(z, Gmm(components=(1, 3), n_init=2, selection_weight=weight))
    assert mixture.best is not None
    assert mixture.best.n_components == n_components
    assert mixture.selection_weight == weight


def test_a_fit_that_has_not_converged_is_rejected() -> None:
    mixture = _fit(SMALL, Gmm(components=(1, 3), n_init=1, max_iter=2, tol=1e-12))
    assert mixture.fits[2].rejected == "K = 3: not converged after 2 steps"
    assert mixture.best is not None
    assert mixture.best.n_components < 3
    assert _cost(mixture.fits[2]) < _cost(mixture.best)  # it would have won


def test_a_component_with_too_few_points_is_rejected() -> None:
    z = np.vstack([np.random.default_rng(0).standard_normal((100, 2)), [(60.0, 60.0)]])
    mixture = _fit(z, Gmm(components=(1, 2), n_init=1, space="raw"))
    assert mixture.fits[1].rejected == "K = 2: a component holds 1.0 < 3 points"
    assert mixture.chosen == 0
    assert _cost(mixture.fits[1]) < _cost(mixture.fits[0])  # it would have won


def test_if_every_fit_is_rejected_there_is_no_mixture() -> None:
    mixture = _fit(SMALL, Gmm(components=(3, 4), n_init=1, max_iter=2, tol=1e-12))
    assert mixture.failure == "K = 3: not converged after 2 steps"
    assert mixture.best is None
    assert len(mixture.fits) == 2


# ---- what a fit says


def test_a_fit_holds_the_numbers_of_its_own_parameters() -> None:
    mixture, fit = _small(), _small().fits[3]
    points = (SMALL - mixture.shift) @ mixture.transform.T
    joint = kernel.log_joint(points, fit.weights, fit.means, fit.covariances)
    tau = kernel.responsibilities(joint)
    assert fit.log_likelihood_total == pytest.approx(kernel.log_likelihood(joint).sum())
    assert fit.entropy_total == pytest.approx(kernel.entropy(tau))
    assert fit.map_log_responsibility_total == pytest.approx(np.log(tau.max(axis=1)).sum())
    assert (fit.n_free, fit.n_points, fit.latent_dim) == (23, 240, 2)


def test_one_component_has_no_entropy_at_all() -> None:
    assert _small().fits[0].entropy_total == 0.0


def test_every_patch_is_labelled_also_those_that_were_not_fitted() -> None:
    kept = np.ones(240, dtype=bool)
    kept[::5] = False
    index = choose_points(kept, 150, 0)
    mixture = QUICK.fit(SMALL, kept=kept, fit_index=index, seeds=Seeds(0, 0))
    assert mixture.responsibilities.shape[0] == 240
    np.testing.assert_allclose(mixture.responsibilities.sum(axis=1), 1.0)
    assert mixture.fits[0].n_points == 150
    assert adjusted_rand_score(SMALL_LABEL, mixture.component) > 0.9


def test_whitening_uses_the_fitted_points_only() -> None:
    z = np.vstack([SMALL, [(1e3, 1e3)]])
    kept = np.ones(241, dtype=bool)
    mixture = QUICK.fit(z, kept=kept, fit_index=np.arange(240), seeds=Seeds(0, 0))
    white = (SMALL - mixture.shift) @ mixture.transform.T
    np.testing.assert_allclose(np.cov(white, rowvar=False, ddof=0), np.eye(2), atol=1e-9)


def test_core_points_are_the_nearest_quarter_of_the_kept_ones() -> None:
    kept = np.ones(240, dtype=bool)
    kept[::7] = False
    mixture = QUICK.fit(SMALL, kept=kept, fit_index=np.flatnonzero(kept), seeds=Seeds(0, 0))
    fit = mixture.best
    assert fit is not None
    points = (SMALL - mixture.shift) @ mixture.transform.T
    distance = kernel.mahalanobis2(points, fit.means, fit.covariances)
    assert not mixture.core[~kept].any()
    for k in range(fit.n_components):
        members = kept & (mixture.component == k)
        core = mixture.core & members
        assert core.sum() == np.ceil(0.25 * members.sum())
        assert distance[core, k].max() <= distance[members & ~core, k].min()


def test_the_same_seeds_give_the_same_mixture_whatever_else_draws() -> None:
    first = _fit(SMALL, QUICK)
    torch.rand(3)
    np.random.random(3)  # noqa: NPY002  # the global state is what must not matter
    again = _fit(SMALL, QUICK)
    np.testing.assert_array_equal(first.responsibilities, again.responsibilities)


@pytest.mark.parametrize("components", [(0, 3), (3, 2)])
def test_components_must_rise_from_1(components: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="two rising numbers from 1"):
        Gmm(components=components)


@pytest.mark.parametrize(("space", "raw"), [("raw", True), ("whiten", False), ("standard", False)])
def test_only_raw_space_lets_the_scale_in(space: str, raw: bool) -> None:
    assert Gmm.from_table({"kind": "gmm", "space": space}).raw_space is raw


# ---- which points are fitted

KEPT = np.random.default_rng(0).random(300) < 0.8


def test_chosen_points_are_kept_ones_in_ascending_order() -> None:
    chosen = choose_points(KEPT, 100, 0)
    assert len(chosen) == 100
    assert KEPT[chosen].all()
    assert (np.diff(chosen) > 0).all()


def test_too_few_kept_points_are_all_chosen() -> None:
    np.testing.assert_array_equal(choose_points(KEPT, 10_000, 0), np.flatnonzero(KEPT))


def test_every_trial_prefers_the_same_points() -> None:
    """A point that one trial drops is replaced; all the others stay."""
    chosen = choose_points(KEPT, 100, 0)
    dropped = KEPT.copy()
    dropped[chosen[:7]] = False
    other = choose_points(dropped, 100, 0)
    assert len(other) == 100
    assert set(chosen[7:]) <= set(other)


def test_a_larger_fit_holds_the_smaller_one() -> None:
    assert set(choose_points(KEPT, 50, 0)) <= set(choose_points(KEPT, 120, 0))


def test_the_preference_is_that_of_the_study_seed() -> None:
    assert set(choose_points(KEPT, 100, 0)) != set(choose_points(KEPT, 100, 1))
    np.testing.assert_array_equal(choose_points(KEPT, 100, 5), choose_points(KEPT, 100, 5))
