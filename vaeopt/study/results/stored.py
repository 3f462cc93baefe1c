"""Scores that a study holds beside its objectives: computed with every trial, or afterwards."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from vaeopt.core.errors import StudyError
from vaeopt.core.settings import nearest
from vaeopt.stages.rewards import Reward
from vaeopt.study.asking.repeats import over_trainings
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.results.records import scores_in
from vaeopt.workflow import Score

__all__ = ["RESCORED", "StoredScore", "rescored_scores", "stored_score", "stored_scores"]

RESCORED = "vaeopt:rescored"
"""study attribute: label -> {reward, direction, values: trial number -> {value, sd, n}}"""


@dataclass(frozen=True)
class StoredScore:
    """One score of many trials."""

    label: str
    direction: Literal["minimize", "maximize"]
    values: Mapping[int, float]
    """by trial number; trials without a value are left out"""


def stored_scores(study: optuna.Study) -> dict[str, StoredScore]:
    """Every score that can order the trials, by label: objectives, scores, re-scored values.

    Where a label was computed twice, the objective counts, and what was re-scored last.
    """
    found = rescored_scores(study)
    trials = finished(study)
    workflow = study.user_attrs.get(IDENTITY, {}).get("workflow", {})
    for table in workflow.get("scores", ()):
        reward = Reward.from_table(table)
        scores = {trial.number: scores_in(trial).get(reward.label) for trial in trials}
        found.setdefault(
            reward.label, StoredScore(reward.label, reward.direction, _values(trials, scores))
        )
    for i, direction in enumerate(study.directions):
        label = study.metric_names[i] if study.metric_names else f"value_{i}"
        rising: Literal["minimize", "maximize"] = (
            "minimize" if direction == optuna.study.StudyDirection.MINIMIZE else "maximize"
        )
        values = {trial.number: trial.values[i] for trial in trials}
        found[label] = StoredScore(label, rising, values)
    return found


def rescored_scores(study: optuna.Study) -> dict[str, StoredScore]:
    """Scores that were computed after the search, by label."""
    found: dict[str, StoredScore] = {}
    trials = finished(study)
    rescored: Mapping[str, Any] = study.user_attrs.get(RESCORED, {})
    for label, held in rescored.items():
        scores = {int(number): Score(**score) for number, score in held["values"].items()}
        found[label] = StoredScore(label, held["direction"], _values(trials, scores))
    return found


def _values(trials: Iterable[FrozenTrial], scores: Mapping[int, Score | None]) -> dict[int, float]:
    """By trial number, as means over trials with the same parameters where these are replicates."""
    found = {trial.number: over_trainings(trial, scores) for trial in trials}
    return {number: score.value for number, score in found.items() if score is not None}


def stored_score(study: optuna.Study, label: str) -> StoredScore:
    """The score of this label.

    Raises:
        StudyError: the study holds no such score.
    """
    known = stored_scores(study)
    if label not in known:
        raise StudyError(
            f"study {study.study_name!r} holds no score {label!r}; {nearest(label, known)}",
            setting="--order-by",
            remedy="compute it with 'vaeopt rescore'",
        )
    return known[label]
