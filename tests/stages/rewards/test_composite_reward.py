"""Composite: several rewards in one number, by hand and by law."""

import itertools
import math
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from tests.stages.rewards.by_hand import BASE, reward, with_latents, with_reconstruction
from vaeopt.core.errors import DataError, SettingsError, VaeoptError
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import trainings_compared, with_parts
from vaeopt.stages.rewards.composite import Composite, Term
from vaeopt.workflow import Workflow

MSE = {"kind": "reconstruction", "metric": "mse"}
FVU = {"kind": "reconstruction", "metric": "fvu_core"}
# BASE has fvu_core 0.1 and mse 0.01.


def _composite(*terms: dict[str, Any], **settings: Any) -> Composite:
    found = reward("composite", terms=list(terms), **settings)
    assert isinstance(found, Composite)
    return found


class _Seeds(Reward):
    """Compares trainings: the spread of their mean square errors."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    least_replicates: ClassVar[int] = 3
    needs: ClassVar[frozenset[str]] = frozenset({"rotation"})
    guard_needed: ClassVar[bool] = True
    compares_across_latent_dim: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "seeds"

    @property
    def components_needed(self) -> tuple[int, ...]:
        return (4, 5)

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        raise DataError("too few pairs")

    def __call__(self, run: WorkflowRun) -> float:
        return float(np.ptp([m.latents.reconstruction.mse for m in run.members]))

    def structureless(self, run: WorkflowRun) -> float:
        return 1.0


# ---- sums


def test_a_sum_is_worked_by_hand() -> None:
    found = _composite(
        {"reward": MSE, "weight": 2.0, "centre": 0.03, "scale": 0.01},
        {"reward": FVU, "weight": 0.5, "centre": 0.0, "scale": 0.2},
    )
    # Both are minimised: 2 * (0.03 - 0.01) / 0.01 - 0.5 * 0.1 / 0.2
    assert found.value(BASE) == pytest.approx(4.0 - 0.25, rel=1e-12)


def test_one_term_is_the_reward_turned_so_that_higher_is_better() -> None:
    assert _composite({"reward": MSE}).value(BASE) == -0.01
    spread = reward("variance-product")
    assert _composite({"reward": "variance-product"}).value(BASE) == spread.value(BASE)


def test_a_composite_of_a_composite_is_the_flat_one() -> None:
    inner = {"kind": "composite", "terms": [{"reward": MSE}, {"reward": FVU, "weight": 3.0}]}
    nested = _composite({"reward": inner, "weight": 2.0}, {"reward": "rate"})
    flat = _composite(
        {"reward": MSE, "weight": 2.0}, {"reward": FVU, "weight": 6.0}, {"reward": "rate"}
    )
    assert nested.value(BASE) == pytest.approx(flat.value(BASE), rel=1e-12)


def test_a_sum_is_clipped_like_any_reward() -> None:
    assert _composite({"reward": MSE, "scale": 1e-9}).value(BASE) == -1e3


# ---- ranks


@pytest.mark.parametrize(
    ("value", "rank"), [(0.5, 0.0), (1.0, 0.125), (2.0, 0.5), (2.5, 0.75), (3.0, 0.875), (9, 1.0)]
)
def test_a_rank_is_the_share_that_is_beaten_and_half_the_ties(value: float, rank: float) -> None:
    reference = [1.0, 2.0, 2.0, 3.0]
    up = Term(reward=reward("variance-product"), reference=reference)  # type: ignore[arg-type]
    down = Term(reward=reward("rate"), reference=reference)  # type: ignore[arg-type]
    assert up.ranked(value) == rank
    assert down.ranked(value) == 1 - rank


def test_ranks_are_averaged_with_their_weights() -> None:
    found = _composite(
        {"reward": MSE, "weight": 3.0, "reference": [0.001, 0.02, 0.03, 0.04]},
        {"reward": FVU, "weight": 1.0, "reference": [0.05, 0.1]},
        combine="rank",
    )
    # mse 0.01 beats three of four; fvu_core 0.1 ties with one of two and beats none.
    assert found.value(BASE) == pytest.approx((3 * 0.75 + 0.25) / 4, rel=1e-12)


def test_a_rank_does_not_see_the_scale_of_its_reward() -> None:
    """Any rising map of values and references leaves a rank alone."""
    rng = np.random.default_rng(0)
    values, reference = rng.uniform(0, 5, 20), rng.uniform(0, 5, 30)
    rate = reward("rate")
    plain = Term(reward=rate, reference=tuple(reference))
    mapped = Term(reward=rate, reference=tuple(np.exp(reference)))
    for value in values:
        assert plain.ranked(value) == mapped.ranked(math.exp(value))


def test_the_trials_of_a_study_rank_among_themselves() -> None:
    mses, fvus = [0.01, 0.02, 0.03], [0.3, 0.1, 0.2]
    found = _composite({"reward": MSE}, {"reward": FVU}, combine="rank").calibrated([mses, fvus])
    runs = [with_reconstruction(mse=m, fvu_core=f) for m, f in zip(mses, fvus, strict=True)]
    values = [found.value(run) for run in runs]
    # Mid-ranks 5/6, 3/6, 1/6 by mse and 1/6, 5/6, 3/6 by fvu_core.
    assert values == pytest.approx([3 / 6, 4 / 6, 2 / 6])
    # Stationary: another order of asking, the same values.
    assert [found.value(run) for run in reversed(runs)] == values[::-1]


# ---- laws of both


TERMS: list[dict[str, Any]] = [{"reward": MSE, "weight": 2.0}, {"reward": FVU}]
RANKED: list[dict[str, Any]] = [
    {"reward": MSE, "weight": 2.0, "reference": [0.005, 0.01, 0.02]},
    {"reward": FVU, "reference": [0.05, 0.15, 0.3, 0.5]},
]
BOTH = {
    "sum": _composite(*TERMS),
    "rank": _composite(*RANKED, combine="rank"),
}


@pytest.mark.parametrize("how", list(BOTH))
@pytest.mark.parametrize("metric", ["mse", "fvu_core"])
def test_a_better_term_never_makes_the_whole_worse(how: str, metric: str) -> None:
    runs = [with_reconstruction(**{metric: value}) for value in (0.4, 0.2, 0.1, 0.01, 0.001)]
    values = [BOTH[how].value(run) for run in runs]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_the_order_of_terms_changes_nothing() -> None:
    third = {"reward": "rate", "weight": 0.3}
    found = {_composite(*order).value(BASE) for order in itertools.permutations([*TERMS, third])}
    assert max(found) - min(found) < 1e-12


def test_one_factor_on_all_weights_ranks_alike() -> None:
    doubled = [{**term, "weight": 2 * term.get("weight", 1.0)} for term in RANKED]
    assert _composite(*doubled, combine="rank").value(BASE) == BOTH["rank"].value(BASE)


@pytest.mark.parametrize("how", list(BOTH))
def test_a_weight_of_0_leaves_a_term_out(how: str) -> None:
    terms = TERMS if how == "sum" else RANKED
    one = _composite(terms[0], {**terms[1], "weight": 0.0}, combine=how)
    assert one.value(BASE) == _composite(terms[0], combine=how).value(BASE)


def test_a_mean_rank_is_a_share() -> None:
    for mse, fvu in itertools.product((0.0, 0.01, 5.0), repeat=2):
        assert 0 <= BOTH["rank"].value(with_reconstruction(mse=mse, fvu_core=fvu)) <= 1


def test_terms_without_a_mixture_stand_in_for_themselves() -> None:
    run = replace(BASE, mixture=replace(BASE.mixture, chosen=None, failure="none"))
    found = _composite({"reward": "gain"}, {"reward": "icl"}, {"reward": FVU})
    # No gain, the cost of a unit Gaussian, and the true error.
    assert found.value(run) == pytest.approx(0.0 - 2.837877 - 0.1, abs=1e-6)
    assert found.structureless(run) == pytest.approx(found.value(run), rel=1e-12)


# ---- before there are references


def test_ranks_without_references_cannot_steer() -> None:
    found = _composite({"reward": MSE, "reference": [1, 2]}, {"reward": "gain"}, combine="rank")
    line = "terms.1.reference: 'composite' needs 2 or more values of 'gain', got 0; copy them"
    assert found.mistake.startswith(line)
    with pytest.raises(VaeoptError, match=r"^terms\.1\.reference: .* use combine = 'sum'$"):
        found.value(BASE)
    with pytest.raises(SettingsError, match=r"rewards\.0: terms\.1\.reference"):
        Workflow(rewards=(found,))
    assert found.calibrated([[1, 2], [0.1, 0.4]]).mistake == ""


def test_one_reference_is_not_enough() -> None:
    found = _composite({"reward": MSE, "reference": [1.0]}, combine="rank")
    assert "got 1" in found.mistake


def test_an_inner_composite_is_asked_too() -> None:
    inner = {"kind": "composite", "name": "inner", "combine": "rank", "terms": [{"reward": MSE}]}
    found = _composite({"reward": "gain"}, {"reward": inner})
    assert found.mistake.startswith("terms.1.reward.terms.0.reference: 'inner' needs")


def test_calibration_takes_one_list_per_term() -> None:
    found = _composite({"reward": MSE}, {"reward": "gain"}, combine="rank")
    with pytest.raises(SettingsError, match=r"^terms: 2 terms, but values of 1; give one list"):
        found.calibrated([[1.0, 2.0]])
    with pytest.raises(SettingsError, match=r"terms\.1\.reference\.0"):
        found.calibrated([[1.0, 2.0], [math.nan, 1.0]])
    values = np.array([[0.1, 0.2], [3.0, 4.0]])
    references = [term.reference for term in found.calibrated(list(values)).terms]
    assert references == [(0.1, 0.2), (3.0, 4.0)]


def test_a_sum_needs_no_calibration() -> None:
    found = _composite(*TERMS)
    assert found.mistake == ""
    assert found.calibrated([[1.0, 2.0], [3.0, 4.0]]) is found


# ---- what it takes from its parts


def test_what_a_composite_is_made_of_is_found_at_any_depth() -> None:
    inner = Composite(terms=(Term(reward=_Seeds()),))
    for seeds in (_Seeds(), inner):
        found = Composite(terms=(Term(reward=reward("gain")), Term(reward=seeds)))
        assert found.parts == (reward("gain"), seeds)
        parts = with_parts(found)
        assert parts[:2] == [found, reward("gain")]
        assert _Seeds() in parts
        assert trainings_compared(found) == 3


def test_a_composite_of_plain_rewards_compares_no_trainings() -> None:
    found = _composite({"reward": MSE}, {"reward": "rate"})
    assert trainings_compared(found) == 1
    assert len(with_parts(found)) == 3


def test_beside_a_term_that_compares_trainings_others_are_averaged_over_them() -> None:
    others = tuple(with_reconstruction(mse=mse) for mse in (0.02, 0.06))
    run = replace(BASE, replicates=others)
    seeds, mse = Term(reward=_Seeds()), Term(reward=Reward.from_table(MSE))
    # Spread 0.05 and mean 0.03 of 0.01, 0.02 and 0.06, both minimised.
    assert Composite(terms=(seeds, mse)).value(run) == pytest.approx(-0.08, rel=1e-12)
    # Without such a term this run speaks for itself, and its workflow averages.
    assert Composite(terms=(mse,)).value(run) == -0.01


# ---- settings


def test_a_stored_composite_is_the_same_again() -> None:
    inner = {"kind": "composite", "name": "inner", "terms": TERMS}
    icl = {"kind": "icl", "form": "hard"}
    found = _composite(
        {"reward": inner, "reference": [1, 2.5]},
        {"reward": icl, "reference": [3, 4]},
        name="my-score",
        combine="rank",
    )
    assert Reward.from_table(found.to_table()) == found
    assert found.label == "my-score"
    workflow = Workflow(rewards=(found,))
    assert Workflow(**workflow.to_table()) == workflow


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "terms: is required and missing"),
        ({"terms": []}, "terms: .*at least 1"),
        ({"terms": [{}]}, r"terms\.0\.reward: is required and missing"),
        ({"terms": [{"reward": "gian"}]}, r"terms\.0\.reward\.kind: .*did you mean 'gain'"),
        ({"terms": [{"reward": "gain", "weight": -1.0}]}, r"terms\.0\.weight: .*got -1"),
        ({"terms": [{"reward": "gain", "weight": 0.0}]}, "terms: all weights are 0; raise one"),
        ({"terms": [{"reward": "gain", "scale": 0.0}]}, r"terms\.0\.scale: "),
        ({"terms": [{"reward": "gain"}], "name": "my score"}, "name: "),
        ({"terms": [{"reward": "gain"}], "name": "patches.size_px"}, "name: "),
        (
            {"terms": [{"reward": "gain"}], "name": "trial"},
            "name: 'trial' is a column of every table of trials; choose another name",
        ),
        (
            {"terms": [{"reward": "gain", "reference": [1, 2]}]},
            r"terms\.0\.reference: has no effect here; leave it out, or use combine = 'rank'",
        ),
        (
            {"terms": [{"reward": "gain", "centre": 1.0}], "combine": "rank"},
            r"terms\.0\.centre: has no effect here; leave it out, or use combine = 'sum'",
        ),
        (
            {"terms": [{"reward": "gain", "scale": 2.0}], "combine": "rank"},
            r"terms\.0\.scale: has no effect here",
        ),
    ],
    ids=str,
)
def test_mistakes_in_a_composite(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError, match=f"^{line}"):
        reward("composite", **settings)


def test_a_composite_sees_collapse_through_its_terms() -> None:
    rng = np.random.default_rng(0)
    live, dead = (with_latents(rng.standard_normal((50, 2)) * [1, s], 0.1) for s in (1, 0))
    found = _composite({"reward": "information"}, {"reward": {"kind": "snr"}, "weight": 0.1})
    assert found.value(dead) < found.value(live)
