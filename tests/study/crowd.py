"""Many processes on one study, for the tests and for ``benchmarks/storage``."""

import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Empty
from typing import Any

import torch
from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.attributes import SEED_NUMBER, WORKER
from vaeopt.study.file import open_study
from vaeopt.study.optimize import create, work
from vaeopt.study.results.access import load_study
from vaeopt.study.results.records import restore
from vaeopt.study.session import prepare
from vaeopt.study.storage import closed

__all__ = ["Crowd", "crowd"]

# Everything is imported once; each process is forked from there, as fresh as a started one.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Crowd:
    """What came of a study that many processes joined at the same moment."""

    trials: list[FrozenTrial]
    errors: list[str]
    """what ended a process"""
    seconds: float
    """from the moment at which all were ready until the last has ended"""
    by_worker: list[int]
    """finished trials of each process that finished any"""
    finished: int
    repeated: int
    """seed numbers that were told more than once"""
    unfinished: int
    """trials that run or wait for ever"""
    files_lost: int
    """finished trials whose files cannot be read"""


def _join(folder: Path, storage: str | None, words: Any, ready: Barrier, said: Any) -> None:
    torch.set_num_threads(1)
    ready.wait(300)
    began = time.time()
    try:
        work(folder, storage=storage, **words)
    except BaseException as error:  # told, whatever it is
        said.put((f"{type(error).__name__}: {error}", began, time.time()))
        raise
    said.put((None, began, time.time()))


def crowd(folder: Path, workers: int, storage: str | None = None, **words: Any) -> Crowd:
    """Create a study and let so many processes work on it until none finds a trial to run."""
    create(folder, storage=storage)
    ready, said = _processes.Barrier(workers), _processes.Queue()
    crew = [
        _processes.Process(target=_join, args=(folder, storage, words, ready, said), daemon=True)
        for _ in range(workers)
    ]
    for process in crew:
        process.start()
    try:
        told = [said.get(timeout=500) for _ in crew]
    except Empty:
        told = [("a process neither ended nor failed", 0.0, 0.0)]
    finally:
        for process in crew:
            process.join(10)
            process.kill()
    study = load_study(folder, storage=storage)
    trials = study.get_trials(deepcopy=False)
    closed(study._storage)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    numbers = Counter(trial.user_attrs[SEED_NUMBER] for trial in done)
    return Crowd(
        trials=trials,
        errors=[error for error, _, _ in told if error is not None],
        seconds=max(end for *_, end in told) - min(began for _, began, _ in told),
        by_worker=sorted(Counter(trial.user_attrs[WORKER] for trial in done).values()),
        finished=len(done),
        repeated=sum(count - 1 for count in numbers.values()),
        unfinished=sum(not trial.state.is_finished() for trial in trials),
        files_lost=_files_lost(folder, done),
    )


def _files_lost(folder: Path, done: list[FrozenTrial]) -> int:
    session = prepare(open_study(folder))
    lost = 0
    for trial in done:
        try:
            restore(trial, session)
        except Exception:
            lost += 1
    return lost
