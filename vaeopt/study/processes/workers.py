"""One study, several processes: started, watched, started again where they die, ended together.

Each is a ``vaeopt worker``. They share nothing but the storage, so one that dies takes nothing with
it but its trial, which is run again.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

import optuna
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.study.asking.ask import room, running_elsewhere, used_up
from vaeopt.study.asking.points import exhausted
from vaeopt.study.attributes import INTERRUPTED, SEED_NUMBER, WORKER
from vaeopt.study.file import StudyFile
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.processes.division import divide
from vaeopt.study.processes.lifeline import lifeline
from vaeopt.study.processes.process import worker_name
from vaeopt.study.progress import Progress
from vaeopt.study.resume import requeue_interrupted
from vaeopt.study.session import Session
from vaeopt.study.storage import again_if_lost, storage_url

__all__ = ["Crew"]

_POLL_S = 0.5
# What is told to stop ends the step that it computes; what hangs is killed [s].
_GRACE_S = 60.0
# Deaths in a row, of one worker without a finished trial, or on one and the same trial.
_DEATHS = 3
_OURS = "vaeopt: "
_REMEDY = "fewer workers leave more memory to each"


@dataclass
class _Worker:
    place: int
    name: str
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    """what it writes to standard error"""
    last_words: list[str] = field(default_factory=list)
    """lines that it wrote there, once it has ended"""

    def bury(self) -> None:
        """Wait for its end and keep what it said."""
        self.process.wait()
        self.errors.seek(0)
        self.last_words = self.errors.read().decode(errors="replace").splitlines()
        self.errors.close()

    def ran(self, trial: FrozenTrial) -> bool:
        return bool(trial.user_attrs.get(WORKER) == self.name)


@dataclass
class Crew:
    """The workers of one study.

    Args:
        file: of the study.
        url: of its storage.
        shares: environment variables of each worker.
    """

    file: StudyFile
    url: str
    shares: list[dict[str, str]]
    _alive: dict[int, _Worker] = field(default_factory=dict, init=False)
    _fruitless: Counter[int] = field(default_factory=Counter, init=False)
    """ends in a row without a finished trial, by the place of the worker"""
    _deadly: Counter[int] = field(default_factory=Counter, init=False)
    """deaths of workers by the seed number of the trial that they ran"""

    @staticmethod
    def of(file: StudyFile, workers: int, storage: str | None) -> "Crew":
        """Divide the machine among so many workers; none is started yet.

        Raises:
            StudyError: settings that no other process can read, or too few GPUs.
        """
        if file.source is None:
            raise StudyError(
                "workers read the study from its file, and these settings were made in Python",
                remedy="write a study file, or leave out workers",
            )
        return Crew(file, storage_url(file, storage), divide(file.settings.workflow, workers))

    def run(
        self,
        study: optuna.Study,
        session: Session,
        total: int,
        limit_s: float | None,
        show: Progress,
    ) -> None:
        """Have all trials run; returns when no worker is left.

        Raises:
            StudyError: a worker could not go on, or died again and again.
        """
        end = None if limit_s is None else time.monotonic() + limit_s
        try:
            _Watch(self, study, session, total, end, show).until_done()
        except KeyboardInterrupt:
            if self._alive:
                show.note(f"stopping {len(self._alive)} workers; Ctrl-C again kills them")
            self._stop()
            raise
        except BaseException:
            self._stop()
            raise

    def start(self, total: int, left_s: float | None) -> None:
        """Start the next worker that is not there."""
        place = min(set(range(len(self.shares))) - self._alive.keys())
        command = [sys.executable, "-m", "vaeopt", "worker", str(self.file.source), "--quiet"]
        command += ["--n-trials", str(total)]
        command += ["--trials-at-once", str(self.file.settings.optuna.trials_at_once)]
        if left_s is not None:
            command += ["--timeout", str(max(left_s, 1e-3))]
        environment = os.environ | self.shares[place] | lifeline(self.url)
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the worker lives
        process = subprocess.Popen(  # noqa: S603  # this Python
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            process_group=0,  # Ctrl-C reaches this process, which stops them one after the other
        )
        self._alive[place] = _Worker(place, worker_name(process.pid), process, errors)

    def ended(self) -> list[_Worker]:
        """Workers that have ended since the last call."""
        gone = [each for each in self._alive.values() if each.process.poll() is not None]
        for each in gone:
            del self._alive[each.place]
            each.bury()
        return gone

    @property
    def alive(self) -> list[_Worker]:
        """Workers that have not ended, as far as was asked."""
        return list(self._alive.values())

    @property
    def may_grow(self) -> bool:
        """Whether a worker is missing."""
        return len(self._alive) < len(self.shares)

    def judge(self, worker: _Worker, trials: list[FrozenTrial]) -> str | None:
        """What is to be said of a worker that has ended.

        Raises:
            StudyError: it is no use to start it again.
        """
        status = worker.process.returncode
        lines = worker.last_words
        if status == 2:
            told = [line.removeprefix(_OURS) for line in lines if line.startswith(_OURS)]
            raise StudyError("; ".join(told) or _last(lines) or "a worker ended with status 2")
        ran = [trial for trial in trials if worker.ran(trial)]
        fruitful = any(t.state.is_finished() and not t.user_attrs.get(INTERRUPTED) for t in ran)
        self._fruitless[worker.place] = 0 if fruitful else self._fruitless[worker.place] + 1
        deaths = self._fruitless[worker.place]
        if status == 0:
            if deaths < _DEATHS:
                return None
            raise StudyError(f"worker {worker.place} finds no trial to run, but some are missing")
        last = _last(lines)
        how = f"{_how(status)}{f' ({last})' if last else ''}"
        cut_off = [trial for trial in ran if _was_cut_off(trial)]
        for trial in cut_off:
            self._deadly[trial.user_attrs[SEED_NUMBER]] += 1
            if self._deadly[trial.user_attrs[SEED_NUMBER]] >= _DEATHS:
                raise StudyError(
                    f"{_DEATHS} workers have died while they ran trial {trial.number} or what it "
                    f"repeats; the last {how}",
                    remedy=_REMEDY,
                )
        if deaths >= _DEATHS:
            raise StudyError(
                f"worker {worker.place} died {deaths} times without finishing a trial; at last it "
                f"{how}",
                remedy=_REMEDY,
            )
        return f"worker {worker.place} {how}; it is started again"

    def _stop(self) -> None:
        """End all workers as at Ctrl-C; a second Ctrl-C kills them."""
        try:
            for each in self.alive:
                each.process.terminate()
            until = time.monotonic() + _GRACE_S
            for each in self.alive:
                each.process.wait(max(0.0, until - time.monotonic()))
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            for each in self.alive:
                each.process.kill()
        finally:
            for each in self.alive:
                each.bury()
            self._alive.clear()


@dataclass
class _Watch:
    """What the process does that does not run trials itself."""

    crew: Crew
    study: optuna.Study
    session: Session
    total: int
    end: float | None
    show: Progress
    _shown: set[int] = field(default_factory=set, init=False)
    _waiting: bool = field(default=False, init=False)

    def until_done(self) -> None:
        self._shown = {t.number for t in self._trials() if t.state.is_finished()}
        while True:
            gone = self.crew.ended()
            again_if_lost(self._requeue)
            self._tell()
            for worker in gone:
                self._take_leave(worker)
            missing = self._missing()
            if missing and not self._late():
                self._fill(missing)
            elif not self.crew.alive and self._done():
                self._say_if_used_up()
                return
            time.sleep(_POLL_S)

    def _requeue(self) -> None:
        requeue_interrupted(self.study, self.session.space.distributions)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _late(self) -> bool:
        return self.end is not None and time.monotonic() >= self.end

    def _missing(self) -> int:
        """Trials that may be started now."""
        if exhausted(self.study, self.session):
            return 0
        return room(self.study, self.total)

    def _done(self) -> bool:
        """Whether nothing is left to wait for, now that no worker is left."""
        if self._late() or len(finished(self.study)) >= self.total:
            return True
        running = running_elsewhere(self.study)
        if running and not self._waiting:
            plural = "s" if len(running) > 1 else ""
            self.show.note(f"waiting for {len(running)} trial{plural} that others run")
            self._waiting = True
        return not running and exhausted(self.study, self.session)

    def _say_if_used_up(self) -> None:
        line = used_up(self.study, self.session, self.total)
        if line is not None:
            self.show.note(line)

    def _tell(self) -> None:
        trials = self._trials()
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._shown:
                self._shown.add(trial.number)
                if not trial.user_attrs.get(INTERRUPTED):
                    self.show.trial_done(self.study, trial)
        running = [t for t in trials if t.state == TrialState.RUNNING]
        self.show.working(self.study, running)

    def _take_leave(self, worker: _Worker) -> None:
        needed = self._missing() > 0 and not self._late()
        if worker.process.returncode == 0 and not needed:
            return
        line = self.crew.judge(worker, self._trials())
        if line is not None and needed:
            self.show.note(line)

    def _fill(self, missing: int) -> None:
        """Start as many workers as find something to run; those that do not run may take some."""
        running = [t for t in self._trials() if t.state == TrialState.RUNNING]
        free = sum(not any(each.ran(t) for t in running) for each in self.crew.alive)
        needed = math.ceil(missing / self.session.file.settings.optuna.trials_at_once) - free
        while needed > 0 and self.crew.may_grow:
            left = None if self.end is None else self.end - time.monotonic()
            self.crew.start(self.total, left)
            needed -= 1


def _was_cut_off(trial: FrozenTrial) -> bool:
    return bool(trial.user_attrs.get(INTERRUPTED)) and SEED_NUMBER in trial.user_attrs


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _last(lines: list[str]) -> str:
    told = [line.strip() for line in lines if line.strip()]
    return told[-1].removeprefix(_OURS) if told else ""
