"""Trials that were cut off: found at the next start, marked, and queued again as they were."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from vaeopt.study.attributes import BATCH, INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.processes.liveness import alive
from vaeopt.study.processes.process import worker_name
from vaeopt.study.storage import exclusive

__all__ = ["requeue_interrupted", "resumable"]

# What GridSampler needs to know that a point is taken, and what a user has asked for.
_KEPT = ("grid_id", "search_space", "fixed_params")
# What a trial is given after its parameters; everything else its sampler has noted on it, such as
# the generation of NSGA-II, which would not be noted again as nothing is drawn again.
_LATER = ("constraints", "artifacts:")


_CUT_OFF = (TrialState.RUNNING, TrialState.WAITING, TrialState.FAIL)


@contextmanager
def resumable(study: optuna.Study) -> Iterator[None]:
    """Trials of this process that still run when the body is cut off are marked and end.

    The next start queues them again.
    """
    try:
        yield
    except BaseException:  # Ctrl-C, a signal, a storage that is gone
        # A signal within a write leaves the database locked. The next start marks them then.
        with suppress(StorageInternalError, SQLAlchemyError):
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.user_attrs.get(WORKER) == worker_name():
                    _cut_off(study, trial)
        raise


def requeue_interrupted(study: optuna.Study, parameters: Collection[str]) -> int:
    """Mark trials whose process is gone as failed, and queue every interrupted one again.

    A trial is queued with its parameters and the number that its seeds derive from, so that it
    gives the values that it would have given.

    Args:
        study: no trial of it may be running in this process.
        parameters: names of all parameters; a trial that was cut off before it had them all draws
            them again.

    Returns:
        Number of trials that were queued.
    """
    if not _anything_cut_off(study):  # the rule: nobody has to wait for the lock then
        return 0
    with exclusive(study._storage):
        return _requeue(study, parameters)


def _anything_cut_off(study: optuna.Study) -> bool:
    # Not the complete ones, of which there are many.
    suspects = study.get_trials(deepcopy=False, states=_CUT_OFF)
    failed = any(trial.state == TrialState.FAIL for trial in suspects)
    retried = _retried(study.get_trials(deepcopy=False)) if failed else set[int]()
    return any(
        _is_dead(study, trial) or _ended_early(trial, retried) or _is_unbegun(study, trial)
        for trial in suspects
    )


def _retried(trials: Collection[FrozenTrial]) -> set[int]:
    return {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs}


def _is_dead(study: optuna.Study, trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING and not alive(trial, study)


def _ended_early(trial: FrozenTrial, retried: Collection[int]) -> bool:
    """Whether it was marked as cut off, has a seed number and waits for nobody yet."""
    marked = trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED, False)
    return marked and SEED_NUMBER in trial.user_attrs and trial.number not in retried


def _requeue(study: optuna.Study, parameters: Collection[str]) -> int:
    trials = study.get_trials(deepcopy=False)
    retried = _retried(trials)
    cut_off: list[FrozenTrial] = []
    for trial in trials:
        _drop_unbegun(study, trial)
        dead = _is_dead(study, trial)
        if dead:
            try:
                _cut_off(study, trial)
            except (ValueError, UpdateFinishedTrialError):
                continue  # another process that has just started was quicker
        again = dead and SEED_NUMBER in trial.user_attrs and trial.number not in retried
        if again or _ended_early(trial, retried):
            cut_off.append(trial)
    if cut_off:
        first = min(_seed_number(trial) for trial in cut_off)
        cut_off += [trial for trial in trials if _waits_behind(study, trial, first)]
    for trial in sorted(cut_off, key=_seed_number):
        _queue(study, trial, parameters)
    return len(cut_off)


def _seed_number(trial: FrozenTrial) -> int:
    number: int = trial.user_attrs[SEED_NUMBER]
    return number


def _cut_off(study: optuna.Study, trial: FrozenTrial) -> None:
    study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
    study.tell(trial.number, state=TrialState.FAIL)


def _drop_unbegun(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that was cut off before it ran: what is run again comes before a new one."""
    if _is_unbegun(study, trial):
        _take_out(study, trial)


def _is_unbegun(study: optuna.Study, trial: FrozenTrial) -> bool:
    # One that a user has queued carries its parameters among the attributes of the system.
    made_here = WORKER in trial.user_attrs and RETRY_OF not in trial.user_attrs
    waits = made_here and not trial.system_attrs and trial.state == TrialState.WAITING
    return waits and not alive(trial, study)


def _take_out(study: optuna.Study, trial: FrozenTrial) -> bool:
    """End a trial that waits, unless another process has it now."""
    try:
        study._storage.set_trial_user_attr(trial._trial_id, WORKER, worker_name())
        if not study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
            return False
    except UpdateFinishedTrialError:
        return False
    _cut_off(study, trial)
    return True


def _waits_behind(study: optuna.Study, trial: FrozenTrial, first: int) -> bool:
    """Whether it waits to be run again, after the first: then it must be queued after it, too.

    What samplers see of trials depends on the order of their numbers.
    """
    waits = trial.state == TrialState.WAITING and RETRY_OF in trial.user_attrs
    if not waits or _seed_number(trial) < first:
        return False
    return _take_out(study, trial)


def _queue(study: optuna.Study, trial: FrozenTrial, parameters: Collection[str]) -> None:
    """Like ``enqueue_trial``, keeping what its sampler knows of the trial."""
    noted = trial.system_attrs
    drawn = {**noted.get("fixed_params", {}), **trial.params}
    if set(drawn) >= set(parameters):
        system = {k: v for k, v in noted.items() if not k.startswith(_LATER)}
        system["fixed_params"] = drawn
    else:
        system = {k: v for k, v in noted.items() if k in _KEPT}
    kept = {k: v for k, v in trial.user_attrs.items() if k in (SEED_NUMBER, BATCH)}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            system_attrs=system,
            user_attrs={**kept, RETRY_OF: trial.number},
        )
    )
