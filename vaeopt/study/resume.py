"""Trials that were cut off: found at the next start, marked, and queued again as they were."""

from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from vaeopt.study.records import (
    INTERRUPTED,
    RETRY_OF,
    SEED_NUMBER,
    WORKER,
    worker_alive,
)

__all__ = ["requeue_interrupted"]

# A trial without a worker's name died between being asked for and being signed for.
_SIGNING = timedelta(seconds=30)
# What GridSampler needs to know that a point is taken.
_GRID_ATTRS = ("grid_id", "search_space")


def requeue_interrupted(study: optuna.Study) -> int:
    """Mark trials whose process is gone as failed, and queue every interrupted one again.

    A trial is queued with its parameters and the number that its seeds derive from, so that it
    gives the values that it would have given.

    Returns:
        Number of trials that were queued.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    queued = 0
    for trial in trials:
        dead = trial.state == TrialState.RUNNING and not _alive(trial)
        if dead:
            study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
            study.tell(trial.number, state=TrialState.FAIL)
        cut_off = dead or (
            trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED, False)
        )
        if cut_off and trial.number not in retried and SEED_NUMBER in trial.user_attrs:
            _queue(study, trial)
            queued += 1
    return queued


def _alive(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if isinstance(worker, str):
        return worker_alive(worker)
    started = trial.datetime_start
    return started is not None and datetime.now() - started < _SIGNING


def _queue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Like ``enqueue_trial``, keeping what a grid sampler knows of the trial."""
    system = {"fixed_params": trial.params}
    system |= {k: v for k, v in trial.system_attrs.items() if k in _GRID_ATTRS}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            system_attrs=system,
            user_attrs={
                SEED_NUMBER: trial.user_attrs[SEED_NUMBER],
                RETRY_OF: trial.number,
            },
        )
    )
