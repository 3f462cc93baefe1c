"""The next trials: signed as soon as they exist, each drawn with the seed of its own number."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from vaeopt.core.seeds import derive
from vaeopt.study.attributes import BATCH, INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.liveness import alive, worker_name
from vaeopt.study.session import Session
from vaeopt.study.storage import exclusive, set_attributes, together

__all__ = ["ask", "ask_together", "exhausted", "room"]

_ALONE = (0, 1)


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
        if asked and exhausted(study, session):
            break
        trial = ask(study, session, (place, size), total)
        if trial is None:  # another process has taken it in the meantime
            break
        asked.append(trial)
    return asked


def room(study: optuna.Study, total: int) -> int:
    """How many trials may still be started, so that ``total`` are finished in the end."""
    taken = sum(
        trial.state == TrialState.COMPLETE or (trial.state == TrialState.RUNNING and _runs(trial))
        for trial in study.get_trials(deepcopy=False)
    )
    return max(0, total - taken)


def _runs(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(WORKER) == worker_name() or alive(trial)


def _cut_off(study: optuna.Study) -> tuple[int, int] | None:
    """First place and size of the batch that waits to be run again."""
    # They are told in order: what was told is the beginning, what waits is the rest, or, where the
    # batch was cut off while it was asked for, all that had been asked for.
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if RETRY_OF in trial.user_attrs:
            place, size = trial.user_attrs.get(BATCH, _ALONE)
            return place, size
    return None


def exhausted(study: optuna.Study, session: Session) -> bool:
    """Whether a sampler that tries every point once has tried them all, or is about to."""
    sampler = session.file.settings.optuna.sampler
    if not sampler.finite_space:
        return False
    tried = {
        tuple(sorted(trial.params.items()))
        for trial in study.get_trials(deepcopy=False)
        if _tries(trial)
    }
    return len(tried) >= (session.space.n_points or 0)


def _tries(trial: FrozenTrial) -> bool:
    if trial.state == TrialState.RUNNING:
        return _runs(trial)
    # A point that fails would fail again; one that was interrupted is run again.
    return trial.state.is_finished() and not trial.user_attrs.get(INTERRUPTED, False)


def ask(
    study: optuna.Study,
    session: Session,
    batch: tuple[int, int] = _ALONE,
    total: int | None = None,
) -> Trial | None:
    """The next trial, waiting ones first, with all its parameters.

    Args:
        study: of the session.
        session: tells the sampler and what it draws.
        batch: its place among those that are asked for together, and how many these are.
        total: finished trials that are wanted in the end; as many as one likes if left out.

    Returns:
        None where other processes run everything that is still wanted.
    """
    with ExitStack() as alone:
        alone.enter_context(exclusive(study._storage))
        if total is not None and not room(study, total):
            return None
        _sign_next(study)
        # Drawing may take seconds: others go on as soon as the trial is signed.
        study.sampler = _Numbered(session, batch, signed=alone.close)
        trial = study.ask()
    _suggest(trial, session.space.distributions)
    return trial


def _suggest(trial: Trial, space: Mapping[str, BaseDistribution]) -> None:
    """What ``ask(fixed_distributions=...)`` does, in one transaction behind the drawing."""
    if not space.keys() <= trial._fixed_params.keys():
        _ = trial.relative_params  # draws
    with together(trial.storage):
        for name, distribution in space.items():
            trial._suggest(name, distribution)


def _sign_next(study: optuna.Study) -> None:
    """Sign what optuna takes next, before it runs: no trial runs without its process's name.

    One that was cut off unsigned could not be told from one that another process has just begun.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        try:
            study._storage.set_trial_user_attr(trial._trial_id, WORKER, worker_name())
        except UpdateFinishedTrialError:
            continue  # another process has run it in the meantime
        return
    signed = create_trial(state=TrialState.WAITING, user_attrs={WORKER: worker_name()})
    study.add_trial(signed)


class _Numbered(BaseSampler):
    """The sampler of the study, made when the trial and thus its number is there.

    Whatever cuts the trial off from then on, even while its parameters are drawn, it can be run
    again as it was; and processes that ask at the same moment never draw with the same seed.
    """

    def __init__(
        self, session: Session, batch: tuple[int, int], signed: Callable[[], None]
    ) -> None:
        self._session = session
        self._batch = batch
        self._signed = signed
        self._sampler: BaseSampler = optuna.samplers.RandomSampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Sign the trial; optuna calls this first."""
        number = trial.user_attrs.get(SEED_NUMBER)
        if number is None:
            number = _next_number(study.get_trials(deepcopy=False)[: trial.number])
        signed: dict[str, Any] = {WORKER: worker_name()}
        if self._batch != _ALONE:
            signed[BATCH] = list(self._batch)
        signed[SEED_NUMBER] = number  # last: from here on the trial is run again if it is cut off
        set_attributes(study._storage, trial._trial_id, signed)
        for key, value in signed.items():
            trial.set_user_attr(key, value)  # what is held of it in memory
        settings, grid = self._session.file.settings.optuna, self._session.space.grid()
        seed = int(derive(settings.seed, number, "sampler").generate_state(1)[0])
        self._sampler = settings.sampler.build(seed=seed, grid=grid)
        self._sampler.before_trial(study, trial)
        self._signed()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """That of the sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """That of the sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """That of the sampler."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """That of the sampler."""
        self._sampler.after_trial(study, trial, state, values)


def _next_number(earlier: Sequence[FrozenTrial]) -> int:
    """The seed number behind these trials: a study that was cut off draws what it would have."""
    attributes = [trial.user_attrs for trial in earlier]
    # Retries have the number of another; what was cut off before it had one used none up.
    counted = sum(
        RETRY_OF not in own and (SEED_NUMBER in own or not own.get(INTERRUPTED, False))
        for own in attributes
    )
    # Another process may have counted one that was cut off afterwards.
    drawn: list[int] = [own[SEED_NUMBER] + 1 for own in attributes if SEED_NUMBER in own]
    return max([counted, *drawn])
