"""The leaders of a search trained again with fresh seeds (semantics 10.2).

Re-trainings are trials of a second study, ``NAME-confirm``, in the same storage. The search keeps
its trials as they are and gets one attribute with the summary.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from vaeopt.core.errors import StudyError
from vaeopt.stages.rewards.base import trainings_compared
from vaeopt.study.artefacts.sending import sending
from vaeopt.study.attributes import IDENTITY, INTERRUPTED, WORKER
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.chebyshev import chebyshev, scaled
from vaeopt.study.fronts.pareto import best, by_compromise, costs, feasible, finished, front, margin
from vaeopt.study.guard import accepted_names, check_same
from vaeopt.study.illustration import Illustrator
from vaeopt.study.processes.interrupts import deferred
from vaeopt.study.processes.process import worker_name
from vaeopt.study.progress import Progress
from vaeopt.study.quiet import name_metrics, quiet_optuna
from vaeopt.study.results.confirmation import DISTANCE, Confirmation, Leader, rank
from vaeopt.study.results.records import (
    seeds_of,
    settings_of,
)
from vaeopt.study.results.replay import retrain
from vaeopt.study.resume import requeue_interrupted
from vaeopt.study.session import Session, prepare
from vaeopt.study.storage import exclusive, load_study
from vaeopt.study.tell import Outcome, tell
from vaeopt.workflow import Workflow, device_settings, resolve_devices

__all__ = ["CONFIRM", "CONFIRMS", "SEED_INDEX", "SOURCE", "confirm", "leaders_of"]

CONFIRM = "vaeopt:confirm"
"""attribute of the search: the summary"""
CONFIRMS = "vaeopt:confirms"
"""attribute of the study of the re-trainings: name of the search"""
SOURCE = "vaeopt:source_trial"
"""attribute of a re-training: number of the trial of the search"""
SEED_INDEX = "vaeopt:seed_index"
"""attribute of a re-training: number of the fresh seed, from 0"""
_FIRST_FRESH = 1000  # far above the replicates that a search can ask for


def confirm(
    study: str | Path | StudySettings | StudyFile,
    *,
    top: int = 5,
    on_front: bool = False,
    seeds: int = 5,
    storage: str | None = None,
    progress: Progress | None = None,
    illustrator: Illustrator | None = None,
) -> Confirmation:
    """Train the leaders of a finished search again and compare them on fresh values.

    What was trained before counts and is not trained again, so a call that was interrupted goes
    on, and a call that asks for more adds only what is missing.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        top: number of leaders: by value, or by the compromise order of several objectives.
        on_front: take the whole front instead.
        seeds: fresh trainings of each leader.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        progress: told of every epoch and training.
        illustrator: draws the pictures of trainings; without one there are none.

    Raises:
        StudyError: nothing feasible yet, the study file was changed since the search, or the name
            of the second study is taken.
        KeyboardInterrupt: Ctrl-C; the running training will be done again.
    """
    file = open_study(study)
    with quiet_optuna():
        source = load_study(file, storage)
        leaders = leaders_of(source, top=top, on_front=on_front)
        session = replace(prepare(file), illustrator=illustrator)
        check_same(source, session)
        resolve_devices(file.settings.workflow)  # now, not in the first training
        with exclusive(source._storage):  # another process may confirm at the same moment
            again = _second_study(source, session)
        requeue_interrupted(again, ())  # ends trainings whose process is gone
        session.artefacts.prepare()
        note = (lambda line: None) if progress is None else progress.note
        with sending(again, session.artefacts, note) as told:
            _train_missing(again, session, leaders, seeds, progress, told)
    result = _result(source, again, leaders)
    source.set_user_attr(CONFIRM, result.to_table())
    return result


def leaders_of(study: optuna.Study, *, top: int = 5, on_front: bool = False) -> list[FrozenTrial]:
    """Feasible trials that are worth confirming, best first.

    Of trials with the same parameters the best stands for all.

    Raises:
        StudyError: no finished trial, or all of them collapsed.
    """
    best(study)  # says why there is none
    numbers = {trial.number for trial in front(study)} if on_front else None
    chosen: list[FrozenTrial] = []
    for trial in by_compromise(study):
        wanted = numbers is None or trial.number in numbers
        if wanted and all(trial.params != other.params for other in chosen):
            chosen.append(trial)
    return chosen if on_front else chosen[:top]


def _second_study(source: optuna.Study, session: Session) -> optuna.Study:
    """The study of the re-trainings, created now or checked to belong to the search."""
    name, storage = f"{source.study_name}-confirm", source._storage
    if name not in optuna.get_all_study_names(storage):
        optuna.create_study(
            study_name=name,
            storage=storage,
            directions=source.directions,
            load_if_exists=True,  # behind gRPC there is no lock
        )
    study = optuna.load_study(study_name=name, storage=storage)
    held = study.user_attrs
    blank = not (study.trials or held.keys() & {CONFIRMS, IDENTITY})  # new, or cut off when made
    ours = blank or held.get(CONFIRMS) == source.study_name
    if not ours or study.directions != source.directions:
        raise StudyError(
            f"study {name!r} in the same storage does not belong to study {source.study_name!r}",
            setting="name",
            remedy="rename or delete it",
        )
    if IDENTITY not in held:
        study.set_user_attr(CONFIRMS, source.study_name)
        name_metrics(study, source.metric_names)
        study.set_user_attr(IDENTITY, session.identity())
    check_same(study, session, accept=accepted_names(source))
    return study


class _Again(BaseSampler):
    """Draws nothing: gives the parameters of one trial, and signs for the training."""

    def __init__(self, source: FrozenTrial, index: int) -> None:
        self._source, self._index = source, index

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Sign; optuna calls this first."""
        signed = {WORKER: worker_name(), SOURCE: self._source.number, SEED_INDEX: self._index}
        for key, value in signed.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
            trial.set_user_attr(key, value)  # what is held of it in memory

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """That of the trial of the search."""
        return self._source.params[param_name]


def _key(trial: FrozenTrial) -> tuple[Any, Any]:
    return trial.user_attrs.get(SOURCE), trial.user_attrs.get(SEED_INDEX)


def _train_missing(
    again: optuna.Study,
    session: Session,
    leaders: Sequence[FrozenTrial],
    seeds: int,
    show: Progress | None,
    told: Callable[[FrozenTrial], None],
) -> None:
    # One seed of every leader first: a call that is cut short compares them fairly.
    wanted = [(leader, index) for index in range(seeds) for leader in leaders]
    done = {_key(trial) for trial in finished(again)}
    missing = [(leader, index) for leader, index in wanted if (leader.number, index) not in done]
    if show is not None and missing:
        show.started(again, session, len(done) + len(missing))
    for leader, index in missing:
        if (leader.number, index) in _taken(again):
            continue  # another process has it, or has done it in the meantime
        with exclusive(again._storage):
            trial = _claim(again, leader, index)
        if trial is None:
            continue
        _train(again, session, leader, trial, show)
        ended = again.get_trials(deepcopy=False)[trial.number]
        told(ended)
        if show is not None:
            show.trial_done(again, ended)


def _taken(again: optuna.Study, before: int | None = None) -> set[tuple[Any, Any]]:
    """Trainings that are done or running, among the first trials if told so."""
    states = (TrialState.COMPLETE, TrialState.RUNNING)
    trials = again.get_trials(deepcopy=False, states=states)
    return {_key(trial) for trial in trials if before is None or trial.number < before}


def _claim(again: optuna.Study, leader: FrozenTrial, index: int) -> Trial | None:
    """A running trial for this training; None where another process was quicker."""
    again.sampler = _Again(leader, index)
    trial = again.ask(fixed_distributions=dict(leader.distributions))
    if (leader.number, index) not in _taken(again, before=trial.number):
        return trial
    trial.set_user_attr(INTERRUPTED, True)
    again.tell(trial, state=TrialState.FAIL)
    return None


def _train(
    again: optuna.Study,
    session: Session,
    leader: FrozenTrial,
    trial: Trial,
    show: Progress | None,
) -> None:
    """One training; whatever happens, the trial ends."""
    try:
        if show is not None:
            show.training([trial.number])
        outcome = _outcome(session, leader, trial, show)
        with deferred():
            tell(again, session, trial, outcome, averaged=False)
    except BaseException:  # Ctrl-C, a full disk: done again at the next call
        with suppress(StorageInternalError, SQLAlchemyError):
            trial.set_user_attr(INTERRUPTED, True)
            again.tell(trial, state=TrialState.FAIL)
        raise


def _outcome(session: Session, leader: FrozenTrial, trial: Trial, show: Progress | None) -> Outcome:
    try:
        devices = device_settings(session.file.settings.workflow)
        workflow = _once(settings_of(leader).with_values(devices))
        seeds = seeds_of(leader, session).replicate(_FIRST_FRESH + trial.user_attrs[SEED_INDEX])
        on_epoch = None if show is None else show.epoch
        return workflow, retrain(session, workflow, seeds, on_epoch=on_epoch)
    except Exception as error:
        return error


def _once(workflow: Workflow) -> Workflow:
    """The settings with as few replicates as one value is made of; other scores are left out."""
    least = max(trainings_compared(reward) for reward in workflow.rewards)
    scores = [s.to_table() for s in workflow.scores if trainings_compared(s) <= least]
    return workflow.with_values({"replicates": least, "scores": scores})


def _result(
    source: optuna.Study, again: optuna.Study, leaders: Sequence[FrozenTrial]
) -> Confirmation:
    names = source.metric_names or [f"value_{i}" for i in range(len(source.directions))]
    trials = finished(again)
    found = []
    for leader in leaders:
        own = [trial for trial in trials if trial.user_attrs.get(SOURCE) == leader.number]
        healthy = [trial for trial in own if margin(trial) <= 0]
        found.append(
            Leader(
                trial=leader.number,
                search=_values(source, names, leader),
                fresh={t.user_attrs[SEED_INDEX]: _values(source, names, t) for t in healthy},
                collapsed=len(own) - len(healthy),
            )
        )
    rankings = [
        rank(name, "minimize" if direction.name == "MINIMIZE" else "maximize", found)
        for name, direction in zip(names, source.directions, strict=True)
    ]
    if len(names) > 1:
        rankings.append(rank(DISTANCE, "minimize", found))
    numbers = [leader.number for leader in leaders]
    failed = sum(number in numbers for number, _ in _failures(again))
    return Confirmation(study=again.study_name, rankings=tuple(rankings), failed=failed)


def _failures(again: optuna.Study) -> set[tuple[Any, Any]]:
    """Trainings that ended with an error and have not been made up for."""
    failed = again.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    errors = {_key(t) for t in failed if not t.user_attrs.get(INTERRUPTED, False)}
    return errors - {_key(t) for t in finished(again)}


def _values(source: optuna.Study, names: Sequence[str], trial: FrozenTrial) -> dict[str, float]:
    """Values by label, and the distance to the ideal point in the scale of the search."""
    values = dict(zip(names, trial.values, strict=True))
    if len(names) > 1:
        place = scaled(costs(source, [trial]), costs(source, feasible(source)))
        values[DISTANCE] = float(chebyshev(place, np.ones(len(names)))[0])
    return values
