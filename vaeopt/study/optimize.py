"""The loop: ask Optuna, walk the workflow, tell Optuna; create or resume."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.study.ask import ask_together, exhausted, running_elsewhere
from vaeopt.study.attributes import AT_ONCE, FAILURE, SEED_NUMBER
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.guard import check_same
from vaeopt.study.interrupts import deferred
from vaeopt.study.liveness import Pulse
from vaeopt.study.pareto import finished
from vaeopt.study.progress import Progress, Silent
from vaeopt.study.quiet import quiet_optuna
from vaeopt.study.records import (
    attach,
    environment,
    environment_of,
    record_failure,
    seeds_of,
    set_constraint,
    settings_of,
)
from vaeopt.study.resume import requeue_interrupted, resumable
from vaeopt.study.session import Session, prepare
from vaeopt.study.storage import closed, create_or_load, load_study, storage_url
from vaeopt.study.workers import Crew
from vaeopt.workflow import (
    Workflow,
    optimised,
    resolve_devices,
    rewards_of,
    scores_of,
    walk,
    walk_many,
)

__all__ = ["Progress", "Replay", "create", "optimize", "replay", "retrain", "run_once", "work"]

_FAILURES_IN_A_ROW = 5
# How often the storage is asked what became of trials that others run [s].
_POLL_S = 0.5


def optimize(
    study: str | Path | StudySettings | StudyFile,
    *,
    n_trials: int | None = None,
    timeout_s: float | None = None,
    trials_at_once: int | None = None,
    workers: int = 1,
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> optuna.Study:
    """Create a study or go on with it until it has ``n_trials`` finished trials.

    Trials that other processes run count: they are waited for, and run here if those processes die.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        n_trials: total of finished trials; that of the study file if left out.
        timeout_s: start no trial after this many seconds.
        trials_at_once: trials that are asked for together and trained together; that of the study
            file if left out.
        workers: processes that share the trials; with more than 1, this one only watches them.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        folder: where outputs of settings made in Python belong.
        progress: told of every epoch and trial; of trials only where there are several workers.

    Returns:
        A plain Optuna study.

    Raises:
        VaeoptError: for whatever the user can put right; nothing has been written then.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    file = _with(open_study(study, folder=folder), trials_at_once)
    crew = Crew.of(file, workers, storage) if workers > 1 else None
    session = prepare(file)
    if crew is None:
        resolve_devices(file.settings.workflow)  # now, not in the first trial
    total, limit = _ends(file, n_trials, timeout_s)
    show: Progress = progress or Silent()
    file.folder.mkdir(parents=True, exist_ok=True)  # of settings made in Python
    with quiet_optuna():
        optuna_study = create_or_load(session, storage_url(file, storage))
        with _worked_on(optuna_study):
            requeue_interrupted(optuna_study, session.space.distributions)
            show.started(optuna_study, session, total)
            _record_at_once(optuna_study, session, show)
            if crew is not None:
                crew.run(optuna_study, session, total, limit, show)
            else:
                _loop(optuna_study, session, total, limit, show, wait=True)
    return optuna_study


def create(
    study: str | Path | StudySettings | StudyFile,
    *,
    storage: str | None = None,
    folder: str | Path | None = None,
) -> tuple[optuna.Study, bool]:
    """Create a study and train nothing, or check that the one that is there is the same.

    Returns:
        The study, and whether it was made now.

    Raises:
        VaeoptError: for whatever the user can put right; nothing has been written then.
    """
    file = open_study(study, folder=folder)
    session = prepare(file)
    file.folder.mkdir(parents=True, exist_ok=True)  # of settings made in Python
    with quiet_optuna():
        try:
            closed(load_study(file, storage)._storage)
            made = False
        except StudyError:  # none is there, or else it is refused again
            made = True
        optuna_study = create_or_load(session, storage_url(file, storage))
        closed(optuna_study._storage)
        return optuna_study, made


def work(
    study: str | Path | StudySettings | StudyFile,
    *,
    n_trials: int | None = None,
    timeout_s: float | None = None,
    trials_at_once: int | None = None,
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> optuna.Study:
    """Join a study that exists: run trials until none is left to be started.

    Like :func:`optimize`, which also creates the study and waits for trials that others run.

    Raises:
        StudyError: there is no such study yet.
        VaeoptError: for whatever else the user can put right.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    file = _with(open_study(study, folder=folder), trials_at_once)
    with quiet_optuna():
        optuna_study = load_study(file, storage)
        session = prepare(file)
        check_same(optuna_study, session)
        resolve_devices(file.settings.workflow)  # now, not in the first trial
        total, limit = _ends(file, n_trials, timeout_s)
        show: Progress = progress or Silent()
        with _worked_on(optuna_study):
            show.started(optuna_study, session, total)
            _record_at_once(optuna_study, session, show)
            _loop(optuna_study, session, total, limit, show, wait=False)
    return optuna_study


@contextmanager
def _worked_on(study: optuna.Study) -> Iterator[None]:
    """Others see that this process lives; in the end its files are closed and can be copied."""
    try:
        with Pulse(study):
            yield
    finally:
        closed(study._storage)


def _ends(
    file: StudyFile, n_trials: int | None, timeout_s: float | None
) -> tuple[int, float | None]:
    asked = file.settings.optuna
    total = n_trials if n_trials is not None else asked.n_trials
    return total, timeout_s if timeout_s is not None else asked.timeout_s


def _with(file: StudyFile, trials_at_once: int | None) -> StudyFile:
    if trials_at_once is None:
        return file
    changed = file.settings.optuna.model_copy(update={"trials_at_once": trials_at_once})
    return replace(file, settings=file.settings.model_copy(update={"optuna": changed}))


def _record_at_once(study: optuna.Study, session: Session, show: Progress) -> None:
    """It may change, as nothing that was told depends on it; but what will be asked for does."""
    was, now = study.user_attrs.get(AT_ONCE, 1), session.file.settings.optuna.trials_at_once
    if was == now:
        return
    if study.trials:
        show.note(
            f"trials_at_once was {was} and is {now} from here on: other trials will follow than "
            f"with {was}"
        )
    study.set_user_attr(AT_ONCE, now)


def _loop(
    study: optuna.Study,
    session: Session,
    total: int,
    limit_s: float | None,
    show: Progress,
    *,
    wait: bool,
) -> None:
    """Run trials until none may be started; wait for those that others run, if that is wanted."""
    start = time.monotonic()
    failures = 0
    waiting = False
    while len(finished(study)) < total:
        if limit_s is not None and time.monotonic() - start >= limit_s:
            return
        with resumable(study):
            with deferred():
                requeue_interrupted(study, session.space.distributions)
                tried = exhausted(study, session)
                trials = [] if tried else ask_together(study, session, total)
            for trial, outcome in zip(trials, _outcomes(session, trials, show), strict=True):
                with deferred():
                    told = _tell(study, session, trial, outcome)
                if not told:
                    show.note(
                        f"trial {trial.number} was ended by another process, which took this one "
                        "for dead: its result is dropped, as it is run again"
                    )
                    continue
                done = study.get_trials(deepcopy=False)[trial.number]
                show.trial_done(study, done)
                failures = failures + 1 if done.state == TrialState.FAIL else 0
                if failures >= _FAILURES_IN_A_ROW:
                    raise _too_many(failures, done)
        if trials:
            continue
        others = running_elsewhere(study)
        if not wait or (tried and not others):
            return
        if others:
            if not waiting:
                plural = "s" if len(others) > 1 else ""
                show.note(f"waiting for {len(others)} trial{plural} that others run")
            waiting = True
            time.sleep(_POLL_S)


def _too_many(failures: int, last: FrozenTrial) -> StudyError:
    reason = last.user_attrs.get(FAILURE, {})
    return StudyError(
        f"{failures} trials failed in a row; the last with "
        f"{reason.get('type')}: {reason.get('message')}",
        remedy="see vaeopt:failure among the trial's attributes in the dashboard",
    )


_Outcome = tuple[Workflow, WorkflowRun] | Exception


def _outcomes(session: Session, trials: Sequence[Trial], show: Progress) -> Iterator[_Outcome]:
    """Settings and run of each trial, as soon as it is scored, or what went wrong."""
    settings = [_settings(session, trial) for trial in trials]
    able = [
        (trial, found)
        for trial, found in zip(trials, settings, strict=True)
        if isinstance(found, Workflow)
    ]

    def training(group: Sequence[int]) -> None:
        if len(trials) > 1:
            show.training([able[place][0].number for place in group])

    seed = session.file.settings.optuna.seed
    runs = walk_many(
        [workflow for _, workflow in able],
        session.micrograph,
        comparison=session.comparison,
        seeds=[Seeds(seed, trial.user_attrs[SEED_NUMBER]) for trial, _ in able],
        cache=session.cache,
        folder=session.file.folder,
        on_epoch=show.epoch,
        on_group=training,
    )
    for found in settings:
        if isinstance(found, Exception):
            yield found
        else:
            run = next(runs)
            yield run if isinstance(run, Exception) else (found, run)


def _settings(session: Session, trial: Trial) -> Workflow | Exception:
    try:
        return session.space.settings_for(trial.params)
    except Exception as error:
        return error


def _tell(study: optuna.Study, session: Session, trial: Trial, outcome: _Outcome) -> bool:
    """Store what came out of a trial and tell the result, or that it failed.

    Returns:
        False where another process has ended the trial: it counts as that one said.
    """
    try:
        _store(study, session, trial, outcome)
    except (UpdateFinishedTrialError, ValueError):  # of an attribute; of the state
        if not study.get_trials(deepcopy=False)[trial.number].state.is_finished():
            raise
        return False
    return True


def _store(study: optuna.Study, session: Session, trial: Trial, outcome: _Outcome) -> None:
    try:
        if isinstance(outcome, Exception):
            raise outcome
        workflow, run = outcome
        scores = scores_of(workflow, run)
        values = optimised(workflow, scores)
        attach(trial, run, workflow, session.file.artefacts, scores)
        set_constraint(trial, run.collapse.margin)  # last: a sampler must not see it half-done
    except StorageInternalError:  # not the fault of the trial, which is run again
        raise
    except Exception as error:
        record_failure(trial, error)
        study.tell(trial, state=TrialState.FAIL)
        return
    study.tell(trial, values)


def retrain(
    session: Session,
    workflow: Workflow,
    seeds: Seeds,
    *,
    on_epoch: Callable[[int, int, float], None] | None = None,
) -> WorkflowRun:
    """Walk through all stages with these settings and seeds; nothing is stored."""
    resolve_devices(workflow)  # now, not behind the training
    return walk(
        workflow,
        session.micrograph,
        comparison=session.comparison,
        seeds=seeds,
        cache=session.cache,
        folder=session.file.folder,
        on_epoch=on_epoch,
    )


def run_once(session: Session, *, progress: Progress | None = None) -> WorkflowRun:
    """One walk with the settings as written, no Optuna; seeded as trial 0 would be."""
    show: Progress = progress or Silent()
    settings = session.file.settings
    return retrain(session, settings.workflow, Seeds(settings.optuna.seed, 0), on_epoch=show.epoch)


@dataclass(frozen=True)
class Replay:
    """Values of a trial as recorded and as they come out again."""

    number: int
    recorded: dict[str, float]
    repeated: dict[str, float]
    elsewhere: tuple[str, ...] = ()
    """what the environment of the record had that this one has not, e.g. ``torch 2.12.0``"""

    def differences(self, tolerance: float) -> dict[str, float]:
        """Relative differences above ``tolerance``, by reward."""
        found = {}
        for name, was in self.recorded.items():
            difference = abs(self.repeated[name] - was) / max(abs(was), 1e-12)
            if difference > tolerance:
                found[name] = difference
        return found


def replay(
    study: optuna.Study, session: Session, trial: FrozenTrial, *, progress: Progress | None = None
) -> Replay:
    """Run a finished trial again from its record alone; nothing is stored."""
    show: Progress = progress or Silent()
    workflow = settings_of(trial)
    threads = torch.get_num_threads()
    # Sums are ordered by thread: another number of threads differs in the sixth digit.
    torch.set_num_threads(environment_of(trial).get("threads", threads))
    try:
        run = retrain(session, workflow, seeds_of(trial, session), on_epoch=show.epoch)
    finally:
        torch.set_num_threads(threads)
    names = [reward.label for reward in workflow.rewards]
    recorded = dict(zip(names, trial.values, strict=True))
    was, now = environment_of(trial), environment(workflow)
    elsewhere = tuple(f"{k} {v}" for k, v in was.items() if k != "threads" and v != now.get(k))
    return Replay(trial.number, recorded, rewards_of(workflow, run), elsewhere)
