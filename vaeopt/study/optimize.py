"""The loop: ask Optuna, walk the workflow, tell Optuna; create or resume."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.core.seeds import Seeds
from vaeopt.study.artefacts.disk import room_on_disk
from vaeopt.study.artefacts.sending import sending
from vaeopt.study.asking.ask import ask_together, running_elsewhere, used_up
from vaeopt.study.attributes import AT_ONCE, FAILURE, PICTURES_FAILED, SEED_NUMBER
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.guard import check_same
from vaeopt.study.illustration import Illustrator
from vaeopt.study.processes.interrupts import deferred
from vaeopt.study.processes.liveness import Pulse
from vaeopt.study.processes.workers import Crew
from vaeopt.study.progress import Progress, Silent
from vaeopt.study.quiet import quiet_optuna
from vaeopt.study.resume import requeue_interrupted, resumable
from vaeopt.study.session import Session, prepare
from vaeopt.study.storage import (
    NotOpenedError,
    again_if_lost,
    closed,
    create_or_load,
    load_study,
    storage_url,
)
from vaeopt.study.tell import Outcome, tell
from vaeopt.workflow import (
    Workflow,
    resolve_devices,
    walk_many,
)

__all__ = ["Progress", "create", "optimize", "work"]

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
    accept: Collection[str] = (),
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    illustrator: Illustrator | None = None,
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
        accept: changes of a study that was started before to go on with: ``sampler``,
            ``duplicates``, ``plugins``.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        folder: where outputs of settings made in Python belong.
        progress: told of every epoch and trial; of trials only where there are several workers.
        illustrator: draws the pictures of trials; without one there are none.

    Returns:
        A plain Optuna study.

    Raises:
        VaeoptError: for whatever the user can put right; nothing has been written then.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    file = _with(open_study(study, folder=folder), trials_at_once)
    crew = Crew.of(file, workers, storage) if workers > 1 else None
    session = replace(prepare(file), illustrator=illustrator)
    if crew is None:
        resolve_devices(file.settings.workflow)  # now, not in the first trial
    session.artefacts.prepare()
    total, limit = _ends(file, n_trials, timeout_s)
    show: Progress = progress or Silent()
    file.folder.mkdir(parents=True, exist_ok=True)  # of settings made in Python
    with quiet_optuna(), room_on_disk():
        optuna_study = create_or_load(session, storage_url(file, storage), accept=accept)
        with _worked_on(optuna_study):
            requeue_interrupted(optuna_study, session.space.distributions)
            show.started(optuna_study, session, total)
            _record_at_once(optuna_study, session, show)
            if crew is not None:
                crew.run(optuna_study, session, total, limit, show)
            else:
                _Here(optuna_study, session, total, limit, show, wait=True).until_done()
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
        except NotOpenedError:  # a server that does not answer is not waited for twice
            raise
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
    accept: Collection[str] = (),
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    illustrator: Illustrator | None = None,
) -> optuna.Study:
    """Join a study that exists: run trials until none is left to be started.

    Like :func:`optimize`, which also creates the study and waits for trials that others run.

    Raises:
        StudyError: there is no such study yet.
        VaeoptError: for whatever else the user can put right.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    file = _with(open_study(study, folder=folder), trials_at_once)
    with quiet_optuna(), room_on_disk():
        optuna_study = load_study(file, storage)
        session = replace(prepare(file), illustrator=illustrator)
        session.artefacts.prepare()
        check_same(optuna_study, session, accept=accept, asks=True)
        resolve_devices(file.settings.workflow)  # now, not in the first trial
        total, limit = _ends(file, n_trials, timeout_s)
        show: Progress = progress or Silent()
        with _worked_on(optuna_study):
            show.started(optuna_study, session, total)
            _record_at_once(optuna_study, session, show)
            _Here(optuna_study, session, total, limit, show, wait=False).until_done()
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


@dataclass
class _Here:
    """Trials that this process runs itself, one batch after the other."""

    study: optuna.Study
    session: Session
    total: int
    limit_s: float | None
    show: Progress
    wait: bool
    """whether trials that others run are waited for"""
    _failures: int = field(default=0, init=False)
    """in a row"""
    _waiting: bool = field(default=False, init=False)
    _reasons: set[str] = field(default_factory=set, init=False)
    """why pictures were not drawn, as far as it has been said"""

    def until_done(self) -> None:
        """Run trials until none may be started."""
        start = time.monotonic()
        with sending(self.study, self.session.artefacts, self.show.note) as sent:
            while len(finished(self.study)) < self.total:
                if self.limit_s is not None and time.monotonic() - start >= self.limit_s:
                    return
                if not again_if_lost(lambda: self._batch(sent)) and not self._more_may_come():
                    return

    def _batch(self, sent: Callable[[FrozenTrial], None]) -> bool:
        """Whether there was one to run."""
        with resumable(self.study):
            with deferred():
                requeue_interrupted(self.study, self.session.space.distributions)
                trials = ask_together(self.study, self.session, self.total)
            outcomes = _outcomes(self.session, trials, self.show)
            for trial, outcome in zip(trials, outcomes, strict=True):
                with deferred():
                    line = tell(self.study, self.session, trial, outcome)
                if line is not None:
                    self.show.note(line)
                    continue
                done = self.study.get_trials(deepcopy=False)[trial.number]
                self.show.trial_done(self.study, done)
                self._say_what_is_not_drawn(done)
                sent(done)
                self._failures = self._failures + 1 if done.state == TrialState.FAIL else 0
                if self._failures >= _FAILURES_IN_A_ROW:
                    raise _too_many(self._failures, done)
        return bool(trials)

    def _say_what_is_not_drawn(self, done: FrozenTrial) -> None:
        """Each reason once: it may be the same for all trials."""
        for name, reason in done.user_attrs.get(PICTURES_FAILED, {}).items():
            if reason not in self._reasons:
                self._reasons.add(reason)
                self.show.note(f"picture {name} of trial {done.number} was not drawn: {reason}")

    def _more_may_come(self) -> bool:
        """Whether it is worth to look again, some time later, for a trial to run."""
        others = running_elsewhere(self.study)
        line = None if others else used_up(self.study, self.session, self.total)
        if line is not None:
            self.show.note(line)
            return False
        if others and self.wait:
            if not self._waiting:
                plural = "s" if len(others) > 1 else ""
                self.show.note(f"waiting for {len(others)} trial{plural} that others run")
            self._waiting = True
            self.show.working(self.study, others)
            time.sleep(_POLL_S)
        return self.wait


def _too_many(failures: int, last: FrozenTrial) -> StudyError:
    reason = last.user_attrs.get(FAILURE, {})
    return StudyError(
        f"{failures} trials failed in a row; the last with "
        f"{reason.get('type')}: {reason.get('message')}",
        remedy="see vaeopt:failure among the trial's attributes in the dashboard",
    )


def _outcomes(session: Session, trials: Sequence[Trial], show: Progress) -> Iterator[Outcome]:
    """Settings and run of each trial, as soon as it is scored, or what went wrong."""
    settings = [_settings(session, trial) for trial in trials]
    able = [
        (trial, found)
        for trial, found in zip(trials, settings, strict=True)
        if isinstance(found, Workflow)
    ]

    def training(group: Sequence[int]) -> None:
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
