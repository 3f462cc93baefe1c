"""Rewards of a mixture: test vectors through the rewards, and their laws."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.stages.rewards.by_hand import (
    COVARIANCES,
    MEANS,
    POINTS,
    WEIGHTS,
    fit_of,
    one_gaussian,
    reward,
    with_fits,
)
from vaeopt.core.errors import SettingsError
from vaeopt.core.types import GaussianMixtureFit
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import MixtureReward
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

TWO = fit_of(POINTS, WEIGHTS, MEANS, COVARIANCES)
ONE = one_gaussian(POINTS)
LINEAR, SHIFT = np.array([[2, 0.5], [0, 0.1]]), np.array([3.0, -1.0])
FORMS = ("paper", "soft", "hard", "half", "quarter")
# Each form as factor * J(w); the hard one has no such w.
AS_J = {"paper": (2.0, 0.5), "soft": (2.0, 1.0), "half": (1.0, 1.0), "quarter": (0.5, 2.0)}
ALL: list[dict[str, Any]] = [
    {"kind": "log-likelihood"},
    {"kind": "bic"},
    {"kind": "aic"},
    {"kind": "icl", "weight": 0.5},
    *({"kind": "icl", "form": form} for form in FORMS),
    {"kind": "gain"},
    *({"kind": "components", "form": form} for form in ("chosen", "effective", "perplexity")),
    *({"kind": "entropy", "form": form} for form in ("per_sample", "normalised")),
]


def _mapped(fit: GaussianMixtureFit, linear: Any, shift: Any = 0.0) -> GaussianMixtureFit:
    """The same components of the same points after an affine map."""
    a = np.asarray(linear)
    return fit_of(
        POINTS @ a.T + shift, fit.weights, fit.means @ a.T + shift, a @ fit.covariances @ a.T
    )


def _random_fits(n: int = 12) -> list[GaussianMixtureFit]:
    """Random components on random points, overlapping ones among them."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        k = 2 + i % 3
        weights = rng.dirichlet(np.ones(k))
        spread = rng.uniform(0.2, 2.0, k)[:, None, None] * np.eye(2)
        found.append(
            fit_of(rng.standard_normal((40, 2)), weights, rng.normal(0, 2, (k, 2)), spread)
        )
    return found


# ---- test vectors


def test_T1_log_likelihood_per_sample() -> None:
    assert reward("log-likelihood").value(with_fits(TWO)) == pytest.approx(-13.254873 / 5, abs=1e-6)


def test_T2_bic_and_aic_per_sample() -> None:
    assert reward("bic").value(with_fits(TWO)) == pytest.approx(44.213562 / 5, abs=1e-6)
    assert reward("aic").value(with_fits(TWO)) == pytest.approx(48.509745 / 5, abs=1e-6)


def test_T2_entropy() -> None:
    run = with_fits(TWO)
    assert reward("entropy").value(run) == pytest.approx(0.207953, abs=1e-6)
    assert reward("entropy", form="normalised").value(run) == pytest.approx(0.300013, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "total"),
    [
        ("paper", 45.253329),
        ("soft", 46.293096),
        ("hard", 45.018990),
        ("half", 23.146548),
        ("quarter", 12.093158),
    ],
)
def test_T3_forms_of_icl_are_per_sample(form: str, total: float) -> None:
    assert reward("icl", form=form).value(with_fits(TWO)) == pytest.approx(total / 5, abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "value"), [(0.0, 4.421356), (0.5, 4.525333), (1.0, 4.629310), (2.0, 4.837264)]
)
def test_T3_icl_is_the_structural_cost(weight: float, value: float) -> None:
    found = reward("icl", weight=weight).value(with_fits(TWO))
    assert found == pytest.approx(value, abs=1e-6)


def test_T4_an_affine_map_shifts_icl_and_leaves_the_gain() -> None:
    one, two = _mapped(ONE, LINEAR, SHIFT), _mapped(TWO, LINEAR, SHIFT)
    icl, gain = reward("icl"), reward("gain")
    assert icl.value(with_fits(ONE)) == pytest.approx(2.769394, abs=1e-6)
    assert icl.value(with_fits(one)) == pytest.approx(1.159956, abs=1e-6)
    assert icl.value(with_fits(two)) == pytest.approx(3.019872, abs=1e-6)
    for fits in ((ONE, TWO), (one, two)):
        assert gain.value(with_fits(*fits)) == 0.0
        imposed = with_fits(*fits, chosen=1, selection_weight=0.0)
        assert gain.value(imposed) == pytest.approx(-1.859915, abs=1e-6)


def test_T4_an_affine_map_shifts_the_log_likelihood_the_other_way() -> None:
    found = reward("log-likelihood")
    shift = found.value(with_fits(_mapped(TWO, LINEAR, SHIFT))) - found.value(with_fits(TWO))
    assert shift == pytest.approx(1.609438, abs=1e-6)


def test_T10_entropy_of_given_responsibilities() -> None:
    tau = [(1, 0, 0), (0.5, 0.5, 0), (0.2, 0.3, 0.5)]
    fit = replace(TWO, n_components=3, n_points=3, entropy_total=kernel.entropy(tau))
    assert reward("entropy").value(with_fits(fit)) == pytest.approx(0.574267, abs=1e-6)
    found = reward("entropy", form="normalised").value(with_fits(fit))
    assert found == pytest.approx(0.522720, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "value"), [("chosen", 7.0), ("effective", 4.0), ("perplexity", 4.667966)]
)
def test_T10_numbers_of_components(form: str, value: float) -> None:
    weights = np.array([0.40, 0.25, 0.15, 0.09, 0.08, 0.02, 0.01])
    run = with_fits(replace(TWO, n_components=7, weights=weights))
    assert reward("components", form=form).value(run) == pytest.approx(value, abs=1e-6)


# ---- laws


@pytest.mark.parametrize("factor", [0.01, 3.0])
@pytest.mark.parametrize(
    ("table", "shifts"),
    [
        ({"kind": "icl"}, 1.0),
        ({"kind": "icl", "form": "paper"}, 2.0),
        ({"kind": "icl", "form": "soft"}, 2.0),
        ({"kind": "icl", "form": "hard"}, 2.0),
        ({"kind": "icl", "form": "half"}, 1.0),
        ({"kind": "icl", "form": "quarter"}, 0.5),
        ({"kind": "bic"}, 2.0),
        ({"kind": "aic"}, 2.0),
        ({"kind": "log-likelihood"}, -1.0),
        ({"kind": "gain"}, 0.0),
        ({"kind": "components"}, 0.0),
        ({"kind": "entropy"}, 0.0),
    ],
    ids=str,
)
def test_P1_scaling_shifts_raw_costs_by_d_log_a_and_no_other(
    table: dict[str, Any], shifts: float, factor: float
) -> None:
    found, linear = Reward.from_table(table), factor * np.eye(2)
    before = with_fits(ONE, TWO, chosen=1, selection_weight=0.0)
    after = with_fits(_mapped(ONE, linear), _mapped(TWO, linear), chosen=1, selection_weight=0.0)
    expected = shifts * 2 * math.log(factor)
    assert found.value(after) - found.value(before) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("table", ALL, ids=str)
def test_P2_the_order_of_components_changes_nothing(table: dict[str, Any]) -> None:
    found = Reward.from_table(table)
    weights = np.array([0.5, 0.3, 0.2])
    means = np.vstack([MEANS, [(1, -1)]])
    covariances = np.concatenate([COVARIANCES, 0.25 * np.eye(2)[None]])
    values = []
    for order in map(list, itertools.permutations(range(3))):
        fit = fit_of(POINTS, weights[order], means[order], covariances[order])
        values.append(found.value(with_fits(ONE, fit, chosen=1, selection_weight=0.0)))
    assert values == pytest.approx([values[0]] * 6, rel=1e-12)


def test_P4_certain_points_have_no_entropy() -> None:
    far = fit_of([(0, 0), (50, 0)], [0.5, 0.5], [(0, 0), (50, 0)], np.tile(np.eye(2), (2, 1, 1)))
    for form in ("per_sample", "normalised"):
        assert reward("entropy", form=form).value(with_fits(far)) == 0.0


@pytest.mark.parametrize("form", list(AS_J))
def test_a_form_is_a_multiple_of_the_structural_cost(form: str) -> None:
    factor, weight = AS_J[form]
    plain, formed = reward("icl", weight=weight), reward("icl", form=form)
    assert isinstance(plain, MixtureReward)
    assert isinstance(formed, MixtureReward)
    for fit in _random_fits():
        expected = factor * plain.criterion(fit)
        assert formed.criterion(fit) == pytest.approx(expected, rel=1e-12)


def test_hard_icl_lies_between_bic_and_soft_icl() -> None:
    bic, hard, soft = reward("bic"), reward("icl", form="hard"), reward("icl", form="soft")
    for fit in _random_fits():
        run = with_fits(fit)
        assert bic.value(run) <= hard.value(run) <= soft.value(run)
        assert bic.value(run) < soft.value(run)


def test_the_normalised_entropy_is_a_share() -> None:
    alike = fit_of(POINTS, [0.25] * 4, np.zeros((4, 2)), np.tile(np.eye(2), (4, 1, 1)))
    assert reward("entropy", form="normalised").value(with_fits(alike)) == pytest.approx(1.0)
    for fit in _random_fits():
        assert 0 <= reward("entropy", form="normalised").value(with_fits(fit)) <= 1


def test_one_component_is_one_component_without_entropy() -> None:
    run = with_fits(ONE)
    for form in ("chosen", "effective", "perplexity"):
        assert reward("components", form=form).value(run) == 1.0
    for form in ("per_sample", "normalised"):
        assert reward("entropy", form=form).value(run) == 0.0


def test_no_count_exceeds_the_number_of_components() -> None:
    for fit in _random_fits():
        run = with_fits(fit)
        for form in ("effective", "perplexity"):
            found = reward("components", form=form).value(run)
            assert 1 <= found <= reward("components").value(run) + 1e-12


# ---- which K


def _given(k: int, log_likelihood: float, entropy: float) -> GaussianMixtureFit:
    return replace(
        TWO,
        n_components=k,
        n_free=kernel.n_free_parameters(k, 2),
        log_likelihood_total=log_likelihood,
        entropy_total=entropy,
        map_log_responsibility_total=-entropy / 2,
        weights=np.full(k, 1 / k),
    )


# Cheaper by likelihood, dearer by entropy. BIC: 33.70 and 23.36; costs worked by hand below.
SHARP, BLURRED = _given(2, -8.0, 0.1), _given(3, 2.0, 4.0)


@pytest.mark.parametrize(
    ("form", "k", "value"),
    [
        ("paper", 3, (-4 + 17 * math.log(5) + 4) / 5),
        ("soft", 3, (-4 + 17 * math.log(5) + 8) / 5),
        ("hard", 3, (-4 + 17 * math.log(5) + 4) / 5),
        ("half", 3, (-2 + 8.5 * math.log(5) + 4) / 5),
        ("quarter", 2, (4 + 2.75 * math.log(5) + 0.1) / 5),
    ],
)
def test_a_form_chooses_k_by_its_own_cost(form: str, k: int, value: float) -> None:
    run, found = with_fits(SHARP, BLURRED), reward("icl", form=form)
    assert isinstance(found, MixtureReward)
    assert found.choose(run.mixture).n_components == k
    assert found.value(run) == pytest.approx(value, rel=1e-12)


def test_the_log_likelihood_takes_the_best_fit_whatever_it_costs() -> None:
    dear = _given(9, 2.5, 8.0)
    assert reward("log-likelihood").value(with_fits(SHARP, BLURRED, dear)) == 0.5
    refused = replace(dear, rejected="too few points")
    assert reward("log-likelihood").value(with_fits(SHARP, BLURRED, refused)) == 0.4


def test_components_and_entropy_look_at_the_fit_of_least_structural_cost() -> None:
    # J(1) is 3.39 and 3.14: the blurred fit, although the sharp one is smaller and surer.
    run = with_fits(SHARP, BLURRED)
    assert reward("components").value(run) == 3.0
    assert reward("entropy").value(run) == pytest.approx(0.8)
    imposed = with_fits(SHARP, BLURRED, chosen=0, selection_weight=2.0)
    assert reward("components").value(imposed) == 2.0
    assert reward("entropy").value(imposed) == pytest.approx(0.02)


# ---- without a mixture


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ({"kind": "log-likelihood"}, -2.837877),
        ({"kind": "icl", "form": "paper"}, 5.675754),
        ({"kind": "icl", "form": "soft"}, 5.675754),
        ({"kind": "icl", "form": "hard"}, 5.675754),
        ({"kind": "icl", "form": "half"}, 2.837877),
        ({"kind": "icl", "form": "quarter"}, 1.418939),
        ({"kind": "components"}, 54.0),
        ({"kind": "components", "form": "perplexity"}, 54.0),
        ({"kind": "entropy"}, math.log(54)),
        ({"kind": "entropy", "form": "normalised"}, 1.0),
    ],
    ids=str,
)
def test_without_a_mixture(table: dict[str, Any], value: float) -> None:
    """60 points, a tenth of them dropped: 54 are fitted."""
    assert Reward.from_table(table).value(with_fits(chosen=None)) == pytest.approx(value, abs=1e-6)


# ---- settings


@pytest.mark.parametrize("form", FORMS)
def test_a_weight_and_another_form_do_not_go_together(form: str) -> None:
    with pytest.raises(SettingsError, match=f"^weight: has no place in form '{form}'; leave it"):
        reward("icl", form=form, weight=1.0)


@pytest.mark.parametrize("table", ALL, ids=str)
def test_a_stored_table_makes_the_same_reward(table: dict[str, Any]) -> None:
    found = Reward.from_table(table)
    assert Reward.from_table(found.to_table()) == found


@pytest.mark.parametrize(
    ("table", "label", "direction"),
    [
        ({"kind": "icl", "form": "j", "weight": 2.0}, "icl(w=2)", "minimize"),
        ({"kind": "icl", "form": "hard"}, "icl_hard", "minimize"),
        ({"kind": "log-likelihood"}, "log_likelihood", "maximize"),
        ({"kind": "components"}, "components", "minimize"),
        ({"kind": "components", "form": "effective"}, "components_effective", "minimize"),
        ({"kind": "entropy"}, "entropy", "minimize"),
        ({"kind": "entropy", "form": "normalised"}, "entropy_normalised", "minimize"),
    ],
    ids=str,
)
def test_labels_and_directions_of_forms(table: dict[str, Any], label: str, direction: str) -> None:
    found = Reward.from_table(table)
    assert (found.label, found.direction) == (label, direction)


def test_rewards_that_no_structure_wins_ask_for_a_guard() -> None:
    guarded = {table["kind"] for table in ALL if Reward.from_table(table).guard_needed}
    assert guarded == {"components", "entropy"}


def test_only_scores_that_no_affine_map_changes_compare_across_latent_dimensions() -> None:
    found = {t["kind"] for t in ALL if Reward.from_table(t).compares_across_latent_dim}
    assert found == {"gain", "components", "entropy"}


# ---- P5: clusters and no clusters


def test_P5_rewards_of_four_clusters_and_of_none() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(4, 1500, p=[0.35, 0.3, 0.2, 0.15])
    centres = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])
    spread = np.array([0.25, 0.3, 0.35, 0.3])[label, None]
    z = centres[label] + spread * rng.standard_normal((1500, 2))
    grid = Workflow(mixture=Gmm(components=(1, 5), n_init=3))
    clusters, cloud = example_run(z, grid), example_run(rng.standard_normal((1500, 2)), grid)
    assert reward("gain").value(clusters) == pytest.approx(1.37, abs=0.05)
    assert reward("gain").value(cloud) == 0.0
    for form in ("chosen", "effective"):
        assert reward("components", form=form).value(clusters) == 4.0
        assert reward("components", form=form).value(cloud) == 1.0
    assert 0 < reward("entropy", form="normalised").value(clusters) < 0.05
