"""The generative model of the Bayesian mixture: its log joint against numbers worked by hand."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import itertools
import math
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from numpy.typing import NDArray

from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.mixture import variational
from vaeopt.stages.mixture.bgmm import Bgmm

Array = NDArray[np.float64]

T13 = Bgmm(
    max_components=2, concentration="fixed", fixed_concentration=0.05, prior_sd=0.05, lkj=20.0
)
T13_POINTS = np.array([(0.02, -0.01), (1.03, -0.95), (0.5, -0.5)])
T13_VALUES: dict[str, Any] = {
    "weights": [0.7, 0.3],
    "means": [(0.0, 0.0), (1.0, -1.0)],
    "spread": [(0.05, 0.08), (0.04, 0.1)],
    "correlations": [[[1, 0], [rho, math.sqrt(1 - rho**2)]] for rho in (0.1, -0.2)],
}


def _log_joint(
    settings: Bgmm, points: Array, values: dict[str, Any], *, penalised: bool = False
) -> dict[str, float]:
    """Log-density of every site of the model, and their sum as ``joint``."""
    model = variational.BayesianMixture(settings, points)
    given = {name: torch.as_tensor(v, dtype=torch.float64) for name, v in values.items()}
    tracer: Any = pyro.poutine.trace(pyro.poutine.condition(model, given))
    trace = tracer.get_trace(penalised=penalised)
    joint = float(trace.log_prob_sum())
    sites = {name: site for name, site in trace.nodes.items() if "log_prob_sum" in site}
    return {"joint": joint} | {n: float(site["log_prob_sum"]) for n, site in sites.items()}


def test_T13_the_log_joint_of_the_model() -> None:
    found = _log_joint(T13, T13_POINTS, T13_VALUES)
    expected = {
        "weights": -2.202430,
        "means": -9.210340,
        "spread": 6.979764,
        "correlations": 0.871929,
        "points": 3.238184 + 1.998720 - 73.211325,
        "joint": -71.535499,
    }
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("point", "density"), [(0, 3.238184), (1, 1.998720), (2, -73.211325)])
def test_T13_the_likelihood_of_each_point(point: int, density: float) -> None:
    found = _log_joint(T13, T13_POINTS[[point]], T13_VALUES)
    assert found["points"] == pytest.approx(density, abs=1e-4)


def test_T13_the_prior_of_correlations() -> None:
    rho = [[[1, 0], [0.3, math.sqrt(1 - 0.09)]], [[1, 0], [0, 1]]]
    both = _log_joint(T13, T13_POINTS, T13_VALUES | {"correlations": rho})
    round_ones = _log_joint(
        T13, T13_POINTS, T13_VALUES | {"correlations": np.tile(np.eye(2), (2, 1, 1))}
    )
    first = both["correlations"] - round_ones["correlations"] / 2
    assert first == pytest.approx(-0.872651, abs=1e-4)


def test_T13_the_prior_of_the_spread() -> None:
    at = np.full((2, 2), 0.03)
    assert _log_joint(T13, T13_POINTS, T13_VALUES | {"spread": at})["spread"] == pytest.approx(
        4 * 2.589941, abs=1e-4
    )
    at[0, 0] = 0.5
    assert _log_joint(T13, T13_POINTS, T13_VALUES | {"spread": at})["spread"] == pytest.approx(
        3 * 2.589941 - 47.230059, abs=1e-4
    )


def test_on_variances_the_same_covariances_have_the_same_likelihood() -> None:
    squared = T13_VALUES | {"spread": np.square(T13_VALUES["spread"])}
    on_variance = T13.model_copy(update={"prior_on": "variance"})
    found = _log_joint(on_variance, T13_POINTS, squared)
    assert found["points"] == pytest.approx(-67.974421, abs=1e-4)
    # HalfNormal(.05) at s^2: log(2 / (.05 sqrt(2 pi))) - s^4 / (2 * .05^2), four of them
    by_hand = 4 * math.log(2 / (0.05 * math.sqrt(2 * math.pi)))
    by_hand -= sum(s**4 for s in (0.05, 0.08, 0.04, 0.1)) / (2 * 0.05**2)
    assert found["spread"] == pytest.approx(by_hand, abs=1e-9)


def test_standard_deviations_have_a_floor() -> None:
    """Below it, the likelihood is that of the floor; the prior still sees the true value."""
    values = [
        {name: torch.as_tensor(v, dtype=torch.float64) for name, v in T13_VALUES.items()}
        | {"spread": torch.full((2, 2), sd, dtype=torch.float64)}
        for sd in (1e-9, 0.01)
    ]
    model = variational.BayesianMixture(T13, T13_POINTS, least_sd=0.01)
    assert torch.equal(model.roots(values[0]), model.roots(values[1]))


def test_means_may_have_a_normal_prior() -> None:
    normal = T13.model_copy(update={"means_prior": "normal0"})
    by_hand = -4 * math.log(5 * math.sqrt(2 * math.pi)) - 2 / 50
    assert _log_joint(normal, T13_POINTS, T13_VALUES)["means"] == pytest.approx(by_hand)


def test_P2_permuting_components_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    settings = Bgmm(max_components=4)
    values = {
        "weights": rng.dirichlet(np.ones(4)),
        "means": rng.uniform(-2, 2, (4, 2)),
        "spread": rng.uniform(0.1, 0.9, (4, 2)),
        "correlations": [[[1, 0], [r, math.sqrt(1 - r**2)]] for r in (0.1, -0.4, 0.0, 0.7)],
    }
    points = rng.standard_normal((20, 2))
    first = _log_joint(settings, points, values, penalised=True)
    assert first["overlap"] < 0
    for order in itertools.permutations(range(4)):
        permuted = {name: np.asarray(value)[list(order)] for name, value in values.items()}
        found = _log_joint(settings, points, permuted, penalised=True)
        assert found == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_penalty_is_lambda_m_o(weighted: bool) -> None:
    overlap = T13.model_copy(
        update={"overlap": "weighted" if weighted else "sum", "overlap_weight": 0.3}
    )
    wide = T13_VALUES | {"spread": [(1.0, 0.5), (0.4, 0.8)]}
    found = _log_joint(overlap, T13_POINTS, wide, penalised=True)
    roots = np.asarray(wide["spread"])[..., None] * np.asarray(wide["correlations"])
    o = kernel.overlap(
        wide["weights"], wide["means"], roots @ roots.transpose(0, 2, 1), weighted=weighted
    )
    assert found["overlap"] == pytest.approx(-0.3 * 3 * o)
    assert "overlap" not in _log_joint(overlap, T13_POINTS, wide)


@pytest.mark.parametrize("weight", [0.0, 1e-30])
def test_an_empty_component_has_a_finite_density(weight: float) -> None:
    """Both logarithms stop at 1e-8 (semantics 6.7)."""
    values = T13_VALUES | {"weights": [1 - weight, weight]}
    found = _log_joint(T13, T13_POINTS[:1], values)
    floored = (0.05 - 1) * math.log(1e-8) + math.lgamma(0.1) - 2 * math.lgamma(0.05)
    assert found["weights"] == pytest.approx(floored)
    assert math.isfinite(found["joint"])


@pytest.mark.parametrize(
    ("settings", "c"),
    [
        ({}, 0.005),
        ({"max_components": 4}, 0.025),
        ({"alpha": 0.6, "max_components": 3}, 0.2),
        ({"concentration": "fixed"}, 0.01),
        ({"concentration": "fixed", "max_components": 4}, 0.01),
        ({"concentration": "fixed", "fixed_concentration": 0.5}, 0.5),
    ],
    ids=str,
)
def test_the_concentration_is_alpha_over_k_or_fixed(settings: dict[str, Any], c: float) -> None:
    model = Bgmm.from_table({"kind": "bgmm", **settings})
    assert model.dirichlet == pytest.approx(c)
    k = model.max_components
    even = {"weights": np.full(k, 1 / k), "means": np.zeros((k, 1)), "spread": np.ones((k, 1))}
    expected = math.lgamma(k * c) - k * math.lgamma(c) - k * (c - 1) * math.log(k)
    found = _log_joint(model, np.zeros((1, 1)), even)["weights"]
    assert found == pytest.approx(expected)
