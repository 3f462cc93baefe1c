"""Studies whose process is killed again and again, for the tests and for ``benchmarks/storage``."""

import multiprocessing
import shutil
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import TrialState

from vaeopt.core.errors import StudyError, VaeoptError
from vaeopt.study.attributes import SEED_NUMBER
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.results.access import load_study
from vaeopt.study.results.records import restore
from vaeopt.study.session import prepare

__all__ = ["Storm", "ended", "start"]

# Of the time that a whole study takes; tables, the image and the first trial take half of it.
_SHARE = 0.6

Ended = tuple[tuple[tuple[str, Any], ...], tuple[float, ...], tuple[float, ...]]

# Everything is imported once; each process is forked from there, as fresh as a started one.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def _run(folder: Path, storage: str | None) -> None:
    torch.set_num_threads(1)  # sums are ordered by thread
    optimize(folder, storage=storage)


def start(folder: Path, storage: str | None = None) -> BaseProcess:
    """A process of its own that goes on with a study."""
    process = _processes.Process(target=_run, args=(folder, storage), daemon=True)
    process.start()
    return process


def ended(study: optuna.Study) -> dict[int, Ended]:
    """Parameters, values and constraint of every finished trial, by seed number.

    Raises:
        AssertionError: a seed number that was told twice.
    """
    found: dict[int, Ended] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        number = trial.user_attrs[SEED_NUMBER]
        assert number not in found, f"seed number {number} was told twice"
        parameters = tuple(sorted(trial.params.items()))
        found[number] = (parameters, tuple(trial.values), tuple(trial.system_attrs["constraints"]))
    return found


@dataclass
class Storm:
    """Kills of one study after the other, and what came of them."""

    rng: np.random.Generator
    kills: int = 0
    within: dict[str, int] = field(default_factory=dict)
    """kills by what the study looked like afterwards"""
    lost: int = 0
    """finished trials that were gone, or another, after a kill"""
    files_lost: int = 0
    """finished trials whose files could not be read in the end"""
    repeated: int = 0
    """finished trials that were told twice"""
    unsound: int = 0
    """databases that SQLite found broken"""
    studies: int = 0
    identical: int = 0
    """studies that ended as the one that was never interrupted"""
    short: int = 0
    """studies that ended with fewer trials than were wanted"""
    beyond: int = 0
    """studies that ended with more trials than were wanted"""
    waits_s: list[float] = field(default_factory=list)
    """from the start of a process to its death"""

    def strike(self, folder: Path, *, most: int) -> None:
        """Kill a study until it is finished, or until ``most`` kills; then let it finish.

        Args:
            folder: of a study that has not begun.
            most: kills of all studies together.
        """
        begun = time.monotonic()
        whole = _uninterrupted(folder)
        # On a machine that is busy with other things everything takes longer, deaths as well.
        longest_s = _SHARE * (time.monotonic() - begun)
        seen: dict[int, Ended] = {}
        while self.kills < most:
            wait = float(self.rng.uniform(0.0, longest_s))
            process = start(folder)
            process.join(wait)
            if process.exitcode is not None:
                assert process.exitcode == 0, f"ended with {process.exitcode}"
                break
            process.kill()
            process.join()
            self.kills += 1
            self.waits_s.append(wait)
            seen = self._look(folder, seen)
        _finish(folder)
        seen = self._look(folder, seen)
        self.studies += 1
        self.identical += seen == whole
        self.files_lost += _without_files(folder)

    def strike_some(
        self,
        folder: Path,
        *,
        workers: int,
        longest_s: float,
        kills: int,
        storage: str | None = None,
    ) -> None:
        """Kill one of several processes that share a study, and start another in its place.

        Such a study is not the one that it would have been; but it ends with as many trials.

        Args:
            folder: of a study that has not begun.
            workers: processes at any time.
            longest_s: time between two kills, at most [s].
            kills: of this study; fewer if it is finished before.
            storage: URL of it.
        """
        seen: dict[int, Ended] = {}
        running = [start(folder, storage) for _ in range(workers)]
        for _ in range(kills):
            time.sleep(float(self.rng.uniform(0.0, longest_s)))
            victim = running.pop(int(self.rng.integers(workers)))
            if victim.exitcode is None:
                victim.kill()
                self.kills += 1
            victim.join()
            assert victim.exitcode in (0, -signal.SIGKILL), f"ended with {victim.exitcode}"
            seen = self._look(folder, seen, storage)
            running.append(start(folder, storage))
        for process in running:
            process.join()
            assert process.exitcode == 0, f"ended with {process.exitcode}"
        _finish(folder, storage)  # what the last victim ran, if nobody has taken it up
        seen = self._look(folder, seen, storage)
        self.studies += 1
        self.short += len(seen) < open_study(folder).settings.optuna.n_trials
        self.beyond += len(seen) > open_study(folder).settings.optuna.n_trials
        self.files_lost += _without_files(folder, storage)

    def _look(
        self, folder: Path, before: dict[int, Ended], storage: str | None = None
    ) -> dict[int, Ended]:
        """What is finished now; what was finished before must be there, and the same."""
        study = _study(folder, storage)
        state = _state(study)
        self.within[state] = self.within.get(state, 0) + 1
        database = open_study(folder).database
        if storage is None and database.exists():
            with closing(sqlite3.connect(database)) as db:
                self.unsound += db.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        try:
            now = {} if study is None else ended(study)
        except AssertionError:
            self.repeated += 1
            raise
        self.lost += sum(now.get(number) != was for number, was in before.items())
        return now


def _study(folder: Path, storage: str | None) -> optuna.Study | None:
    try:
        return load_study(folder, storage=storage)
    except StudyError:
        return None  # killed before it was made


def _finish(folder: Path, storage: str | None = None) -> None:
    process = start(folder, storage)
    process.join()
    assert process.exitcode == 0, f"ended with {process.exitcode}"


def _uninterrupted(folder: Path) -> dict[int, Ended]:
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place) / "whole"))
        _finish(copy)
        return ended(load_study(copy))


def _state(study: optuna.Study | None) -> str:
    if study is None:
        return "before the study"
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    if TrialState.RUNNING in states:
        return "in a trial"
    return "between trials" if states else "before the first trial"


def _without_files(folder: Path, storage: str | None = None) -> int:
    file = open_study(folder)
    session, missing = prepare(file), 0
    for trial in load_study(folder, storage=storage).get_trials(states=(TrialState.COMPLETE,)):
        try:
            restore(trial, session)
        except VaeoptError:
            missing += 1
    return missing
