"""Whether a study says that there are building blocks, from its stored values alone."""

import math
import warnings

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning

from tests.study.tiny import made_by_hand
from vaeopt.stages.rewards.descriptor_ami import STRUCTURE
from vaeopt.study.results.stored import RESCORED
from vaeopt.study.results.verdict import verdict_lines, verdict_of

LABEL = "descriptor_ami"


def study_of(values: list[float], margins: list[float] | None = None) -> optuna.Study:
    return named(made_by_hand(["maximize"], [(value,) for value in values], margins), LABEL)


def named(study: optuna.Study, label: str) -> optuna.Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([label])
    return study


def test_a_high_value_is_structure() -> None:
    found = verdict_of(study_of([0.1, 0.52, 0.3]))
    assert found is not None
    assert found.structure
    assert (found.best, found.trial, found.trials, found.collapsed) == (0.52, 1, 3, 0)
    assert found.sentence == (
        "structure: the best descriptor_ami of 3 trials is 0.520 (trial 1), not below 0.28"
    )
    assert found.to_table()["sentence"] == found.sentence
    assert found.to_table()["structure"] is True


def test_low_values_are_cuts_through_a_continuum() -> None:
    assert verdict_lines(study_of([0.14])) == [
        "no structure: the best descriptor_ami of 1 trial is 0.140, below 0.28; the components "
        "are cuts through a continuum, or the descriptor does not see what is there (fine detail, "
        "small windows)"
    ]


@pytest.mark.parametrize(("value", "said"), [(STRUCTURE, True), (STRUCTURE - 1e-6, False)])
def test_the_threshold_itself_is_structure(value: float, said: bool) -> None:
    found = verdict_of(study_of([value]))
    assert found is not None
    assert found.structure is said


def test_collapsed_trials_do_not_count() -> None:
    found = verdict_of(study_of([0.9, 0.1], margins=[1.0, -1.0]))
    assert found is not None
    assert (found.best, found.structure, found.collapsed) == (0.1, False, 1)


@pytest.mark.parametrize(
    ("values", "who"),
    [([0.9], "the only finished trial has"), ([0.9, 0.8], "all 2 finished trials have")],
)
def test_without_a_healthy_trial_there_is_no_structure(values: list[float], who: str) -> None:
    found = verdict_of(study_of(values, margins=[1.0] * len(values)))
    assert found is not None
    assert found.sentence == (
        f"no structure: {who} collapsed or cannot be scored by descriptor_ami"
    )
    assert (found.best, found.trial, found.structure) == (None, None, False)


def test_other_rewards_and_empty_studies_have_no_verdict() -> None:
    other = made_by_hand(["maximize"], [(0.5,)])
    assert verdict_of(named(other, "descriptor_ami(K=4)")) is None, "the threshold is not its own"
    assert verdict_of(study_of([])) is None
    assert verdict_lines(study_of([])) == []


def test_a_value_that_was_computed_afterwards_counts() -> None:
    study = made_by_hand(["maximize"], [(5.0,), (6.0,), (7.0,)])
    scores = {
        str(number): {"value": value, "sd": None, "n": 1}
        for number, value in ((0, 0.4), (1, math.nan))
    }
    study.set_user_attr(
        RESCORED,
        {LABEL: {"reward": {}, "direction": "maximize", "values": scores}},
    )
    found = verdict_of(study)
    assert found is not None
    assert (found.best, found.trial, found.trials, found.collapsed) == (0.4, 0, 1, 2)
