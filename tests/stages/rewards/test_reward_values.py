"""Rewards: values worked by hand, the K each chooses, and finite numbers where there are none."""

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError, VaeoptError
from vaeopt.core.types import Collapse, GaussianMixtureFit, Latents, WorkflowRun
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import MixtureReward
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

MIXTURE_KINDS = ["icl", "bic", "aic", "gain"]
# Test vectors T1, T2 and T4: five points under two components, and under one Gaussian.
# As log-likelihood and entropy [nats].
TWO = (-13.254873, 1.039767)
ONE = (-5 * 2.769394 + 2.5 * math.log(5), 0.0)


def _fit(k: int, log_likelihood: float, entropy: float, rejected: str = "") -> GaussianMixtureFit:
    return GaussianMixtureFit(
        n_components=k,
        n_points=5,
        latent_dim=2,
        n_free=kernel.n_free_parameters(k, 2),
        log_likelihood_total=log_likelihood,
        entropy_total=entropy,
        map_log_responsibility_total=0.0,
        weights=np.full(k, 1 / k),
        means=np.zeros((k, 2)),
        covariances=np.tile(np.eye(2), (k, 1, 1)),
        rejected=rejected,
    )


_QUICK = Workflow.model_validate({}).with_values(
    {"mixture.components": [1, 2], "mixture.n_init": 1}
)
_BASE = example_run(np.random.default_rng(0).standard_normal((60, 2)), _QUICK)


def _run(
    *fits: GaussianMixtureFit,
    chosen: int | None = 0,
    selection_weight: float | None = None,
    feasible: bool = True,
) -> WorkflowRun:
    """A run whose mixture has these fits."""
    mixture = replace(
        _BASE.mixture,
        fits=fits,
        chosen=chosen,
        selection_weight=selection_weight,
        failure="" if chosen is not None else "none",
    )
    collapse = Collapse(margin=-1.0 if feasible else 6.0, reasons=() if feasible else ("gone",))
    return replace(_BASE, mixture=mixture, collapse=collapse)


def _reward(kind: str, **settings: Any) -> Reward:
    return Reward.from_table({"kind": kind, **settings})


# ---- values of the mixture


def test_no_gain_where_one_gaussian_is_cheaper() -> None:
    assert _reward("gain").value(_run(_fit(1, *ONE), _fit(2, *TWO))) == 0.0


def test_the_gain_is_the_difference_to_one_gaussian() -> None:
    better = _fit(2, -2.0, 0.5)
    run = _run(_fit(1, *ONE), better, chosen=1)
    bic = 4.0 + 11 * math.log(5)
    for weight in (0.0, 1.0, 2.0):
        expected = 2.769394 - (bic / 10 + weight * 0.1)
        assert _reward("gain", weight=weight).value(run) == pytest.approx(expected, abs=1e-6)


def test_the_gain_is_negative_where_a_selection_weight_picks_a_worse_k() -> None:
    run = _run(_fit(1, *ONE), _fit(2, *TWO), chosen=1, selection_weight=0.0)
    assert _reward("gain").value(run) == pytest.approx(-1.859915, abs=1e-6)


# ---- which K

# Cheaper by likelihood, dearer by entropy.
_SHARP = _fit(2, -8.0, 0.1)
_BLURRED = _fit(3, 2.0, 4.0)


@pytest.mark.parametrize(("weight", "k"), [(0.0, 3), (2.0, 2)])
def test_each_reward_chooses_k_by_its_own_cost(weight: float, k: int) -> None:
    run = _run(_SHARP, _BLURRED)
    for kind in ("icl", "gain"):
        reward = _reward(kind, weight=weight)
        assert isinstance(reward, MixtureReward)
        assert reward.choose(run.mixture).n_components == k


def test_the_value_is_that_of_the_chosen_k() -> None:
    run = _run(_SHARP, _BLURRED)
    for weight in (0.0, 2.0):
        reward = _reward("icl", weight=weight)
        assert isinstance(reward, MixtureReward)
        costs = [reward.criterion(fit) for fit in (_SHARP, _BLURRED)]
        assert reward.value(run) == min(costs)


@pytest.mark.parametrize("kind", ["icl", "bic", "aic"])
@pytest.mark.parametrize("chosen", [0, 1])
def test_a_selection_weight_decides_k_for_every_reward(kind: str, chosen: int) -> None:
    run = _run(_SHARP, _BLURRED, chosen=chosen, selection_weight=0.3)
    reward = _reward(kind)
    assert isinstance(reward, MixtureReward)
    assert reward.value(run) == reward.criterion((_SHARP, _BLURRED)[chosen])


@pytest.mark.parametrize("kind", ["icl", "bic", "aic"])
def test_a_rejected_fit_is_never_chosen(kind: str) -> None:
    tempting = _fit(3, 900.0, 0.0, rejected="too few points")
    alone, beside = _run(_SHARP), _run(_SHARP, tempting)
    assert _reward(kind).value(beside) == _reward(kind).value(alone)


# ---- values without a mixture


@pytest.mark.parametrize(
    ("kind", "value"), [("icl", 2.837877), ("bic", 5.675754), ("aic", 5.675754), ("gain", 0.0)]
)
def test_without_a_mixture_a_run_has_the_value_of_no_structure(kind: str, value: float) -> None:
    run = _run(chosen=None, feasible=False)
    assert _reward(kind).value(run) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("kind", ["rate", "reconstruction", "variance-product"])
def test_what_needs_no_mixture_keeps_its_value(kind: str) -> None:
    assert _reward(kind).value(_run(chosen=None, feasible=False)) == _reward(kind).value(_BASE)


# ---- reconstruction, rate, variance


@pytest.mark.parametrize(
    ("metric", "value"),
    [("fvu_core", 0.1), ("fvu", 0.2), ("mse", 0.01), ("nll", 0.5), ("excess_nll", 0.1)],
)
def test_reconstruction_returns_the_metric_asked_for(metric: str, value: float) -> None:
    assert _reward("reconstruction", metric=metric).value(_BASE) == pytest.approx(value)


def _with_latents(z: Any, std: Any, code_mean: Any = None, code_std: Any = None) -> WorkflowRun:
    z, std = np.asarray(z, dtype=float), np.asarray(std, dtype=float)
    none = np.zeros((len(z), 0))
    codes = none if code_mean is None else np.asarray(code_mean, dtype=float)
    code_sds = none if code_std is None else np.asarray(code_std, dtype=float)
    latents: Latents = replace(
        _BASE.latents, z_mean=z, z_std=std, code_mean=codes, code_std=code_sds
    )
    return replace(_BASE, latents=latents, diagnostics=unit_diagnostics(z, std, codes, code_sds))


def test_the_rate_sums_content_and_pose() -> None:
    run = _with_latents([(0.5, -1.2)], [(0.3, 0.8)], [(0.01,)], [(0.99,)])
    assert _reward("rate").value(run) == pytest.approx(1.637266, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "value"), [("product", 0.0105625), ("geomean", 0.102774), ("total", 0.8575)]
)
def test_forms_of_the_variance(form: str, value: float) -> None:
    run = _with_latents([(1, 0.2), (-0.5, 0.1), (0.3, -0.1), (2, 0)], np.full((4, 2), 0.1))
    assert _reward("variance-product", form=form).value(run) == pytest.approx(value, abs=1e-6)


def test_the_generalised_variance_is_a_determinant() -> None:
    run = _with_latents([(1, 1.1), (-1, -0.9), (0.5, 0.4), (-0.5, -0.6)], np.full((4, 2), 0.1))
    assert _reward("variance-product", form="generalised").value(run) == pytest.approx(0.00625)


# ---- labels and directions


@pytest.mark.parametrize(
    ("table", "label", "direction"),
    [
        ({"kind": "icl"}, "icl", "minimize"),
        ({"kind": "icl", "weight": 0.5}, "icl(w=0.5)", "minimize"),
        ({"kind": "gain"}, "gain", "maximize"),
        ({"kind": "gain", "weight": 2.0}, "gain(w=2)", "maximize"),
        ({"kind": "bic"}, "bic", "minimize"),
        ({"kind": "aic"}, "aic", "minimize"),
        ({"kind": "rate"}, "rate", "minimize"),
        ({"kind": "reconstruction"}, "fvu_core", "minimize"),
        ({"kind": "reconstruction", "metric": "nll"}, "nll", "minimize"),
        ({"kind": "variance-product"}, "variance_product", "maximize"),
        ({"kind": "variance-product", "form": "total"}, "variance_total", "maximize"),
    ],
    ids=str,
)
def test_labels_and_directions(table: dict[str, Any], label: str, direction: str) -> None:
    reward = Reward.from_table(table)
    assert (reward.label, reward.direction) == (label, direction)


def test_only_affine_invariant_mixture_scores_compare_across_latent_dimensions() -> None:
    compares = {k: Reward.of_kind(k).compares_across_latent_dim for k in MIXTURE_KINDS}
    assert compares == {"icl": False, "bic": False, "aic": False, "gain": True}


@pytest.mark.parametrize("weight", [-0.1, 10.5])
def test_weights_lie_from_0_to_10(weight: float) -> None:
    with pytest.raises(SettingsError, match="weight"):
        _reward("icl", weight=weight)


# ---- only numbers leave a reward


class _Given(Reward):
    """Returns what it is told to."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"

    @property
    def label(self) -> str:
        return "given"

    def __call__(self, run: WorkflowRun) -> float:
        return float(run.seconds["value"])

    def structureless(self, run: WorkflowRun) -> float:
        return float(run.seconds["otherwise"])


class _GivenUp(_Given):
    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"


def _given(value: float, otherwise: float = 3.0, *, feasible: bool = True) -> WorkflowRun:
    run = _run(_fit(1, *ONE), feasible=feasible)
    return replace(run, seconds={"value": value, "otherwise": otherwise})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_healthy_run_without_a_number_is_an_error(bad: float) -> None:
    with pytest.raises(VaeoptError, match=r"^workflow\.rewards: reward '' is .* for a healthy run"):
        _Given().value(_given(bad))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_collapsed_run_without_a_number_gets_that_of_no_structure(bad: float) -> None:
    assert _Given().value(_given(bad, feasible=False)) == 3.0


@pytest.mark.parametrize(("reward", "worst"), [(_Given(), 1e3), (_GivenUp(), -1e3)])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_run_without_any_number_gets_the_worst_one(
    reward: Reward, worst: float, bad: float
) -> None:
    assert reward.value(_given(bad, bad, feasible=False)) == worst


def test_a_collapsed_run_keeps_its_true_value() -> None:
    assert _Given().value(_given(-2.5, feasible=False)) == -2.5


@pytest.mark.parametrize(("value", "clipped"), [(1e9, 1e3), (-1e9, -1e3), (12.0, 12.0)])
def test_values_are_clipped(value: float, clipped: float) -> None:
    assert _Given().value(_given(value)) == clipped
