"""What came out of a trial, stored and told: all of it or nothing."""

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from vaeopt.core.types import WorkflowRun
from vaeopt.study.artefacts.disk import NoRoomError, room_on_disk
from vaeopt.study.asking.repeats import average
from vaeopt.study.attributes import WORKER
from vaeopt.study.illustration import Subject, illustrate, noted
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results.records import attach, keep_files, record_failure, set_constraint
from vaeopt.study.session import Session
from vaeopt.study.storage import exclusive, together
from vaeopt.workflow import Workflow, optimised, scores_of

__all__ = ["Outcome", "tell"]

Outcome = tuple[Workflow, WorkflowRun] | Exception
"""settings and run of a trial, or what went wrong"""


def tell(
    study: optuna.Study, session: Session, trial: Trial, outcome: Outcome, *, averaged: bool = True
) -> str | None:
    """Store what came out of a trial and tell the result, or that it failed.

    A trial does not fail for what is wrong with the disk or the storage.

    Args:
        study: of the session.
        session: where the files go, and what is done about duplicates.
        trial: runs in this process.
        outcome: of its training.
        averaged: whether means over all trainings with the same parameters are told, where
            duplicates are replicates.

    Returns:
        A line to show if another process has ended the trial: it took this one for dead.

    Raises:
        StudyError: it cannot be stored now. The trial still runs and is run again if it is marked.
    """
    try:
        if isinstance(outcome, Exception):
            raise outcome
        workflow, run = outcome
        scores = scores_of(workflow, run)
        values = optimised(workflow, scores)
    except Exception as error:
        return _fail(study, trial, error)

    def store() -> None:
        with room_on_disk(), session.artefacts.kept_if_told(lambda: _may_be_told(study, trial)):
            drawn = illustrate(study, session, trial, run, values, averaged=averaged)
            files = keep_files(run, session.artefacts, drawn.pictures)
            # Under the lock, as another process may tell the same parameters, and whole: a sampler
            # must not see it half-done.
            with exclusive(study._storage), together(study._storage):
                attach(trial, run, workflow, files, scores, drawn.failed)
                told, margin = values, run.collapse.margin
                if averaged:
                    told, margin = average(study, session, trial, told, margin)
                set_constraint(trial, margin)
                subject = Subject(workflow, run, scores, told, files.pictures, drawn.failed)
                noted(study, session, trial, subject)
                study.tell(trial, told)

    try:
        try:
            store()
        except StorageInternalError:  # the connection was lost: the storage waits for a new one
            if not _told(study, trial):
                store()
    except UpdateFinishedTrialError:
        return _taken(trial)
    except (NoRoomError, StorageInternalError):
        raise
    except Exception as error:
        return _fail(study, trial, error)
    return None


def _may_be_told(study: optuna.Study, trial: Trial) -> bool:
    try:
        return _told(study, trial)
    except StorageInternalError:
        return True


def _told(study: optuna.Study, trial: Trial) -> bool:
    """Whether it was told after all, and only the answer was lost."""
    there = study._storage.get_trial(trial._trial_id)
    ours = there.user_attrs.get(WORKER) == worker_name()
    return ours and there.state == TrialState.COMPLETE


def _fail(study: optuna.Study, trial: Trial, error: Exception) -> str | None:
    try:
        with together(study._storage):
            record_failure(trial, error)
            study.tell(trial, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return _taken(trial)
    return None


def _taken(trial: Trial) -> str:
    return (
        f"trial {trial.number} was given to another process, which took this one for dead; its "
        "result here is dropped"
    )
