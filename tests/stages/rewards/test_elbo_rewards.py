"""Rewards on the Bayesian mixture: what they read, and what a failed fit gives."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import ElboEstimate, Mixture, WorkflowRun
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.elbo import Elbo
from vaeopt.stages.rewards.elbo_h import ElboH
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

_Z = np.random.default_rng(0).standard_normal((60, 2))
_BASE = example_run(
    _Z, Workflow.model_validate({}).with_values({"mixture.components": [1, 2], "mixture.n_init": 1})
)


def _run(cost: float = 1.75, entropy_total: float = 1.039767, n_points: int = 5) -> WorkflowRun:
    """A run with this evidence, and the entropy of test vector T2."""
    best = _BASE.mixture.best
    assert best is not None
    fit = replace(best, entropy_total=entropy_total, n_points=n_points)
    elbo = ElboEstimate(
        cost_nats=cost, standard_error_nats=0.01, draws=64, steps=400, converged=True
    )
    mixture = replace(_BASE.mixture, fits=(fit,), chosen=0, elbo=elbo)
    return replace(_BASE, bayesian=mixture)


def _fitted(z: Any, **options: Any) -> Mixture:
    n = len(z)
    kept = np.ones(n, dtype=bool)
    model = Bgmm(max_components=3, steps=10, elbo_draws=4, **options)
    return model.fit(np.asarray(z), kept=kept, fit_index=np.arange(n), seeds=Seeds(0, 0))


@pytest.mark.parametrize("reward", [Elbo(), ElboH()], ids=lambda reward: reward.kind)
def test_they_ask_for_the_bayesian_mixture_and_lower_is_better(reward: Reward) -> None:
    assert reward.needs == {"bayesian"}
    assert reward.direction == "minimize"
    assert not reward.compares_across_latent_dim


def test_elbo_is_the_cost_per_sample() -> None:
    assert Elbo().value(_run(1.75)) == 1.75


@pytest.mark.parametrize(("weight", "value"), [(0.0, 1.75), (1.0, 1.957953), (2.0, 2.165907)])
def test_elbo_h_adds_the_entropy_per_sample(weight: float, value: float) -> None:
    assert ElboH(weight=weight).value(_run(1.75)) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_the_two_differ_by_the_weighted_entropy_of_a_fit(weight: float) -> None:
    run = replace(_BASE, bayesian=_fitted(_Z))
    assert run.bayesian is not None
    fit = run.bayesian.best
    assert fit is not None
    assert fit.entropy_total > 0
    gap = ElboH(weight=weight).value(run) - Elbo().value(run)
    assert gap == pytest.approx(weight * fit.entropy_total / 60)


def test_the_plain_mixture_is_not_looked_at() -> None:
    run = _run()
    gone = replace(run.mixture, chosen=None, failure="none")
    for reward in (Elbo(), ElboH()):
        assert reward.value(replace(run, mixture=gone)) == reward.value(run)


@pytest.mark.parametrize(
    "z",
    [np.zeros((60, 2)), _Z * [1.0, 0.0], _Z[:1], _Z[:3] * 0, np.repeat(_Z[:3], 20, axis=0)],
    ids=["duplicates", "constant-unit", "one-point", "few-points", "three-places"],
)
@pytest.mark.parametrize("space", ["standard", "raw"])
@pytest.mark.parametrize("reward", [Elbo(), ElboH(weight=2.0)], ids=lambda reward: reward.kind)
def test_degenerate_latents_have_the_value_of_no_structure(
    reward: Reward, z: Any, space: str
) -> None:
    mixture = _fitted(z, space=space)
    assert mixture.failure
    run = replace(_BASE, bayesian=mixture)
    assert reward.value(run) == pytest.approx(math.log(2 * math.pi * math.e))  # unit Gaussian


def test_real_structure_beats_that_value() -> None:
    far = np.concatenate([0.1 * _Z[:30], 0.1 * _Z[30:] + 1.0])
    tight = _fitted(far, init_scale=1e-3)
    run = replace(_BASE, bayesian=tight)
    assert ElboH().value(run) < ElboH().structureless(run)


def test_a_run_without_a_bayesian_mixture_is_a_mistake_of_the_caller() -> None:
    for reward in (Elbo(), ElboH()):
        for given in (None, _BASE.mixture):
            with pytest.raises(ValueError, match=f"'{reward.kind}' reads run.bayesian"):
                reward.value(replace(_BASE, bayesian=given))


def test_labels_and_tables() -> None:
    assert (Elbo().label, ElboH().label, ElboH(weight=0.5).label) == (
        "elbo",
        "elbo_h",
        "elbo_h(w=0.5)",
    )
    for reward in (Elbo(), ElboH(weight=0.5)):
        assert Reward.from_table(reward.to_table()) == reward


@pytest.mark.parametrize("weight", [-0.1, 10.5])
def test_the_weight_lies_from_0_to_10(weight: float) -> None:
    with pytest.raises(SettingsError, match="weight"):
        ElboH(weight=weight)
