"""The next trials: signed as soon as they exist, each drawn with the seed of its own number."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from vaeopt.study.asking.draw import ALONE, Numbered
from vaeopt.study.asking.points import exhausted, runs
from vaeopt.study.attributes import BATCH, RETRY_OF, WORKER
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.processes.liveness import alive, on_this_machine_only
from vaeopt.study.processes.process import worker_name
from vaeopt.study.session import Session
from vaeopt.study.storage import exclusive, together

__all__ = ["ask", "ask_together", "room", "running_elsewhere", "used_up"]


def ask_together(study: optuna.Study, session: Session, total: int) -> list[Trial]:
    """All trials that train before any of them is told, in the order in which they are told.

    What a sampler sees while it draws depends on which trials had been told by then. So a batch
    that was cut off is taken up as it was begun, with its size of then, and no trial of the next
    one joins it: a study that is resumed meets the same states as one that never stopped.

    Args:
        study: one that is not :func:`exhausted`.
        session: of the study.
        total: finished trials that are wanted in the end.

    Returns:
        None at all where other processes run everything that is still wanted.
    """
    with exclusive(study._storage):
        missing = room(study, total)
        first, size = _cut_off(study) or (
            0,
            min(missing, session.file.settings.optuna.trials_at_once),
        )
    asked: list[Trial] = []
    for place in range(first, min(size, first + missing)):
        trial = ask(study, session, (place, size), total)
        if trial is None:  # nothing is left, or another process has taken it in the meantime
            break
        asked.append(trial)
    return asked


def room(study: optuna.Study, total: int) -> int:
    """How many trials may still be started, so that ``total`` are finished in the end."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    taken = len(finished(study)) + sum(runs(study, trial) for trial in running)
    return max(0, total - taken)


def running_elsewhere(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that other processes run, as far as can be known."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial for trial in trials if alive(trial, study)]


def _cut_off(study: optuna.Study) -> tuple[int, int] | None:
    """First place and size of the batch that waits to be run again."""
    # They are told in order: what was told is the beginning, what waits is the rest, or, where the
    # batch was cut off while it was asked for, all that had been asked for.
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if RETRY_OF in trial.user_attrs:
            place, size = trial.user_attrs.get(BATCH, ALONE)
            return place, size
    return None


def ask(
    study: optuna.Study,
    session: Session,
    batch: tuple[int, int] = ALONE,
    total: int | None = None,
) -> Trial | None:
    """The next trial, waiting ones first, with all its parameters.

    Args:
        study: of the session.
        session: tells the sampler and what it draws.
        batch: its place among those that are asked for together, and how many these are.
        total: finished trials that are wanted in the end; as many as one likes if left out.

    Returns:
        None where other processes run everything that is still wanted, or nothing is left to try.
    """
    with ExitStack() as alone:
        alone.enter_context(exclusive(study._storage))
        if total is not None and not room(study, total):
            return None
        if exhausted(study, session, dead=True):
            return None
        study.sampler = Numbered(session, batch, alone)
        trial = _begun(study)
        alone.close()
        _suggest(trial, session.space.distributions)
        return trial


def _suggest(trial: Trial, space: Mapping[str, BaseDistribution]) -> None:
    """What ``ask(fixed_distributions=...)`` does, in one transaction behind the drawing."""
    if not space.keys() <= trial._fixed_params.keys():
        _ = trial.relative_params  # draws
    with together(trial.storage):
        for name, distribution in space.items():
            trial._suggest(name, distribution)


def _begun(study: optuna.Study) -> Trial:
    """The trial that optuna takes next, signed before it runs.

    One that was cut off unsigned could not be told from one that another process has just begun.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        try:
            study._storage.set_trial_user_attr(trial._trial_id, WORKER, worker_name())
        except UpdateFinishedTrialError:
            continue  # another process has run it in the meantime
        return study.ask()
    # Where a connection is lost over a new trial, Optuna makes it again: not within a transaction,
    # which would go with the connection.
    local = on_this_machine_only(study)
    with together(study._storage) if local else nullcontext():
        study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={WORKER: worker_name()}))
        return study.ask()


def used_up(study: optuna.Study, session: Session, total: int) -> str | None:
    """What is to be said of a study that ends before ``total`` as no point is left; else None."""
    count = len(finished(study))
    if count >= total or not exhausted(study, session):
        return None
    return f"the search space is used up: {count} of {total} trials are finished"
