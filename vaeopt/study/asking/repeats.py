"""Trials with the same parameters: the latest stands for all, and its values are means."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from vaeopt.study.asking.points import at, point_of
from vaeopt.study.attributes import REPEAT
from vaeopt.study.session import Session
from vaeopt.workflow import Score

__all__ = [
    "average",
    "mean_of",
    "means",
    "over_trainings",
    "own_margin",
    "own_values",
    "superseded",
]


def mean_of(trial: FrozenTrial) -> list[int]:
    """Numbers of the trials whose mean a trial has told, itself included."""
    repeat = trial.user_attrs.get(REPEAT)
    return [trial.number] if repeat is None else list(repeat["trials"])


def superseded(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the trials that are part of the mean of another one."""
    return {n for t in trials if REPEAT in t.user_attrs for n in mean_of(t) if n != t.number}


def own_values(trial: FrozenTrial) -> list[float]:
    """Values of the training of this trial alone."""
    return list(trial.user_attrs[REPEAT]["own"] if REPEAT in trial.user_attrs else trial.values)


def own_margin(trial: FrozenTrial) -> float:
    """Collapse margin of the training of this trial alone."""
    if REPEAT in trial.user_attrs:
        return float(trial.user_attrs[REPEAT]["margin"])
    return max(trial.constraints.values(), default=0.0)


def average(
    study: optuna.Study, session: Session, trial: Trial, values: Sequence[float], margin: float
) -> tuple[list[float], float]:
    """What a trial tells: means over all that have its parameters, where duplicates are replicates.

    A configuration is feasible if none of its trainings has collapsed, so the worst margin counts.

    Args:
        study: no other process may tell a trial of it meanwhile.
        session: tells what is done about duplicates.
        trial: is given the attribute that says what its values are means of.
        values: of its own training.
        margin: of its own training.

    Returns:
        Values and margin.
    """
    told, margin, repeat = means(study, session, trial, values, margin)
    if repeat is not None:
        trial.set_user_attr(REPEAT, repeat)
    return told, margin


def means(
    study: optuna.Study, session: Session, trial: Trial, values: Sequence[float], margin: float
) -> tuple[list[float], float, dict[str, Any] | None]:
    """What :func:`average` would tell now, and the attribute that it would give; writes nothing."""
    distributions = session.space.distributions
    if session.file.settings.optuna.duplicates != "replicate" or not distributions:
        return list(values), margin, None
    point = point_of(trial.params, distributions)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    there = at(point, distributions) if point is not None else None
    earlier = [trial for trial in complete if there is not None and there(trial.params)]
    if not earlier:
        return list(values), margin, None
    columns = list(zip(*map(own_values, earlier), values, strict=True))
    repeat: dict[str, Any] = {
        "of": earlier[0].number,
        "trials": [*(other.number for other in earlier), trial.number],
        "own": list(values),
        "margin": margin,
        "sd": [statistics.stdev(column) for column in columns],
    }
    told = [_mean(column) for column in columns]
    return told, max(margin, *map(own_margin, earlier)), repeat


def _mean(values: Sequence[float]) -> float:
    # Rounded once, so the order does not matter: a study that was cut off has other trial numbers.
    return math.fsum(values) / len(values)


def over_trainings(trial: FrozenTrial, held: Mapping[int, Score | None]) -> Score | None:
    """A score of a trial as the mean over all trials that its values are means of.

    Args:
        trial: of the study.
        held: score of each training by trial number; None or missing where it has none.
    """
    found = [score for number in mean_of(trial) if (score := held.get(number)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    values = [score.value for score in found]
    return Score(_mean(values), statistics.stdev(values), len(values))
