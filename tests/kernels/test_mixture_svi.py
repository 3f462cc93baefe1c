"""Variational inference by hand: its steps against numbers, and members that ignore each other."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.kernels.mixture.guide import BayesianDensity
from vaeopt.kernels.mixture.svi import evidence_costs, fit_guides, settled, unconstrained

Array = NDArray[np.float64]
POINTS = np.random.default_rng(0).standard_normal((3, 40, 2))
DENSITY = BayesianDensity(
    points=POINTS,
    n_components=3,
    dirichlet=0.1,
    means_limit=5.0,
    means_sd=5.0,
    prior_sd=0.4,
    on_variance=False,
    lkj=2.0,
    least_sd=1e-3,
    least_weight=1e-8,
    overlap_weight=0.1,
    overlap_weighted=True,
)
SIZE = sum(DENSITY.sizes)
START = 0.3 * np.random.default_rng(1).standard_normal((3, SIZE))
RECIPE: dict[str, Any] = {"init_scale": 0.1, "steps": 30, "learning_rate": 0.02, "stop_gain": 0.0}


def _rngs(n: int = 3) -> list[np.random.Generator]:
    return [np.random.default_rng([7, i]) for i in range(n)]


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_the_slope(weighted: bool, penalised: bool) -> None:
    density = replace(DENSITY, overlap_weighted=weighted)
    step, found = 1e-6, density(START, penalised=penalised)[1]
    for j in range(SIZE):
        by = step * np.eye(SIZE)[j]
        rise = [density(START + s * by, penalised=penalised)[0] for s in (1, -1)]
        np.testing.assert_allclose(found[:, j], (rise[0] - rise[1]) / (2 * step), atol=1e-4)


def test_members_that_share_their_points_are_those_that_do_not() -> None:
    shared = replace(DENSITY, points=np.tile(POINTS[:1], (3, 1, 1)))
    together = shared(START)
    for member in range(3):
        alone = replace(DENSITY, points=POINTS[:1])(START[member : member + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[member], rtol=1e-12)


def test_a_member_does_not_depend_on_the_others() -> None:
    together = fit_guides(DENSITY, START, _rngs(), **RECIPE)
    for member, fit in enumerate(together):
        own = slice(member, member + 1)
        (alone,) = fit_guides(
            replace(DENSITY, points=POINTS[own]), START[own], _rngs()[own], **RECIPE
        )
        np.testing.assert_allclose(alone.loc, fit.loc, rtol=1e-9)
        np.testing.assert_allclose(alone.scale, fit.scale, rtol=1e-9)


def test_a_member_that_ends_leaves_the_others_as_they_were() -> None:
    """The first member starts where its loss is not a number."""
    start = START.copy()
    start[0] = 1e6
    found = fit_guides(DENSITY, start, _rngs(), **RECIPE)
    assert [(fit.steps, fit.broken) for fit in found] == [(1, True), (30, False), (30, False)]
    healthy = fit_guides(DENSITY, START, _rngs(), **RECIPE)
    np.testing.assert_allclose(found[2].loc, healthy[2].loc, rtol=1e-9)


def test_the_first_step_is_the_learning_rate_in_every_direction() -> None:
    """Adam: the first step is rate * g / (|g| + 1e-8)."""
    (fit,) = fit_guides(
        replace(DENSITY, points=POINTS[:1]), START[:1], _rngs(1), **RECIPE | {"steps": 1}
    )
    np.testing.assert_allclose(np.abs(fit.loc - START[0]), 0.02, rtol=1e-4)
    raw = 0.1 + np.log(-np.expm1(-0.1))
    by_hand = [np.log1p(np.exp(raw + side * 0.02)) for side in (1, -1)]
    assert np.isclose(fit.scale[:, None], by_hand, rtol=1e-6).any(axis=1).all()
    assert not fit.converged


def test_parameters_of_a_mixture_give_the_mixture_back() -> None:
    weights = np.array([0.5, 0.3, 0.2])
    means = np.array([(0.0, 1.0), (-2.0, 3.0), (4.5, -4.5)])
    spread = np.array([(0.1, 1.0), (2.0, 0.3), (0.5, 0.5)])
    for limit in (5.0, None):
        density = replace(DENSITY, means_limit=limit)
        found = density.components(unconstrained(weights, means, spread, limit)[None])
        np.testing.assert_allclose(found.weights[0], weights)
        np.testing.assert_allclose(found.means[0], means, atol=1e-12)
        np.testing.assert_allclose(found.covariances[0], [np.diag(s**2) for s in spread])


def test_the_evidence_of_known_parameters_is_their_log_joint() -> None:
    """A guide of almost no width: -ELBO = log q(u) - log p(u, points) at its centre."""
    density = replace(DENSITY, points=POINTS[:1])
    (fit,) = fit_guides(density, START[:1], _rngs(1), **RECIPE)
    narrow = replace(fit, scale=np.full(SIZE, 1e-9))
    costs = evidence_costs(density, narrow, 500, np.random.default_rng(0))
    joint = density(fit.loc[None], penalised=False)[0][0]
    entropy = SIZE * (np.log(1e-9) + np.log(2 * np.pi * np.e) / 2)
    error = np.sqrt(SIZE / 2 / 500) / 40
    assert costs.mean() == pytest.approx((-joint - entropy) / 40, abs=5 * error)


def test_a_settled_member_has_converged() -> None:
    """The window needs 400 steps; any gain is below a hundred nats."""
    recipe = RECIPE | {"steps": 500, "stop_gain": 100.0}
    (fit,) = fit_guides(replace(DENSITY, points=POINTS[:1]), START[:1], _rngs(1), **recipe)
    assert (fit.steps, fit.converged, fit.broken) == (400, True, False)
    assert not settled([1.0] * 400, 0.0)
