"""Pictures and a note of every trial: asked for here, drawn on the floor above.

Whatever goes wrong while they are made is recorded, and the trial is told all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import Trial

from vaeopt.core.secrets import masked
from vaeopt.core.types import WorkflowRun
from vaeopt.study.asking.repeats import means
from vaeopt.study.attributes import REPEAT
from vaeopt.study.fronts.pareto import leads
from vaeopt.study.notes import first_note
from vaeopt.study.session import Session
from vaeopt.workflow import Score, Workflow

__all__ = ["Drawn", "Illustrator", "Subject", "illustrate", "noted"]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a trial."""

    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG by file name, in the order in which they are looked at"""
    failed: Mapping[str, str] = field(default_factory=dict)
    """why it could not be drawn, by file name"""


@dataclass(frozen=True)
class Subject:
    """What a note is written about."""

    workflow: Workflow
    run: WorkflowRun
    scores: Mapping[str, Score | None]
    """of the training of this trial"""
    told: Sequence[float]
    """objectives as told"""
    pictures: Mapping[str, str]
    """ids of the pictures by file name; where optuna-dashboard serves them, once :func:`noted`"""
    failed: Mapping[str, str]
    """pictures that could not be drawn, and why"""
    mean_of: Sequence[int] = ()
    """trials whose means were told, this one included; empty if it was trained once"""


class Illustrator(Protocol):
    """Draws trials. Must not use the global random generators."""

    def pictures(self, run: WorkflowRun) -> Drawn:
        """All pictures of a run."""

    def note(self, subject: Subject) -> str:
        """What was done and found, in GitHub's Markdown."""


def illustrate(
    study: optuna.Study,
    session: Session,
    trial: Trial,
    run: WorkflowRun,
    values: Sequence[float],
    *,
    averaged: bool,
) -> Drawn:
    """The pictures of a trial, as far as ``optuna.figures`` asks for them.

    Under ``best`` they are drawn of feasible trials that no finished one dominates now; what other
    processes tell at the same moment is not waited for.

    Args:
        study: with the trials that are finished.
        session: of the study; without an illustrator nothing is drawn.
        trial: runs in this process.
        run: its training.
        values: of its own training.
        averaged: whether means over trainings with the same parameters are told.
    """
    figures = session.file.settings.optuna.figures
    illustrator = session.illustrator
    if illustrator is None or figures == "none":
        return Drawn()
    try:
        if figures == "best":
            margin, gone = run.collapse.margin, set[int]()
            if averaged:
                values, margin, repeat = means(study, session, trial, values, margin)
                gone = set() if repeat is None else set(repeat["trials"])
            if margin > 0 or not leads(study, values, without=gone):
                return Drawn()
        return illustrator.pictures(run)
    except StorageInternalError:  # asked again when the storage is back
        raise
    except Exception as error:
        return Drawn(failed={"all": reason(error)})


def noted(study: optuna.Study, session: Session, trial: Trial, subject: Subject) -> None:
    """Write the note of a trial where optuna-dashboard looks for it.

    As ``optuna_dashboard.save_note``, which reads the notes of all trials first.
    """
    illustrator = session.illustrator
    if illustrator is None or session.file.settings.optuna.figures == "none":
        return
    place = f"/artifacts/{study._study_id}/{trial._trial_id}/"
    links = {name: place + artifact_id for name, artifact_id in subject.pictures.items()}
    mean_of = trial.user_attrs.get(REPEAT, {}).get("trials", ())
    try:
        text = illustrator.note(replace(subject, pictures=links, mean_of=mean_of))
    except Exception as error:
        text = f"No note could be written: {reason(error)}"
    for key, value in first_note(trial._trial_id, text).items():
        study._storage.set_study_system_attr(study._study_id, key, value)


def reason(error: BaseException) -> str:
    """An error in one line without passwords."""
    text = " ".join(masked(str(error)).split())
    return f"{type(error).__name__}: {text}"[:500]
