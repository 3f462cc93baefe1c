"""Which process runs a trial, and whether it is still there."""

import logging
import threading
import time
from datetime import datetime, timedelta
from types import TracebackType

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.attributes import BEAT, WORKER
from vaeopt.study.processes.process import before_reboot, worker_alive, worker_name
from vaeopt.study.storage import backend_of
from vaeopt.study.storage.relational import Relational

__all__ = ["Pulse", "alive", "on_this_machine_only"]

_log = logging.getLogger(__name__)

BEAT_S = 30.0
"""time between two heartbeats of a process"""
GRACE_S = 300.0
"""how long a process of another machine may be silent before it counts as dead"""

# A trial without a worker's name died between being asked for and being signed for.
_SIGNING = timedelta(seconds=30)


def alive(trial: FrozenTrial, study: optuna.Study | None = None) -> bool:
    """Whether another process than this one runs the trial, as far as can be known.

    Args:
        trial: that runs.
        study: of the trial; without it, a process of another machine counts as alive.
    """
    worker = trial.user_attrs.get(WORKER)
    if not isinstance(worker, str):
        started = trial.datetime_start
        return started is not None and datetime.now() - started < _SIGNING
    if worker == worker_name():
        return False
    known = worker_alive(worker)
    if known is not None or study is None:
        return known is not False
    if before_reboot(worker) and on_this_machine_only(study):
        return False
    return not _silent(study, trial)


def on_this_machine_only(study: optuna.Study) -> bool:
    """Whether the storage is a file that other machines do not share, so no connection is lost."""
    backend = backend_of(study._storage)
    return isinstance(backend, RDBStorage) and backend.engine.name == "sqlite"


_seen: dict[tuple[str, int], tuple[object, float]] = {}


def _silent(study: optuna.Study, trial: FrozenTrial) -> bool:
    backend = backend_of(study._storage)
    if isinstance(backend, Relational):
        silent_s = backend.silent_s([trial._trial_id])
        if trial._trial_id in silent_s:
            return silent_s[trial._trial_id] > GRACE_S
    # Whether it changes is watched by the clock of this process: others may go wrong.
    key, beat, now = (study.study_name, trial.number), trial.user_attrs.get(BEAT), time.monotonic()
    if key not in _seen or _seen[key][0] != beat:
        _seen[key] = (beat, now)
    return now - _seen[key][1] > GRACE_S


class Pulse:
    """Says in the storage that this process lives, for all trials that it runs in the block.

    A thread of its own does, every 30 s, while the trials train. It outlives a storage that is away
    for a while, and does not outlive the process.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vaeopt-pulse", daemon=True)
        self._beats = 0

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        told = False
        while not self._stop.wait(BEAT_S):
            try:
                self.beat()
                told = False
            except Exception as error:  # whatever it is, the next beat may succeed
                if not told:
                    _log.warning("no heartbeat could be written: %s", error)
                told = True

    def beat(self) -> None:
        """Say it once."""
        study, storage = self._study, self._study._storage
        backend = backend_of(storage)
        self._beats += 1
        try:
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.user_attrs.get(WORKER) != worker_name():
                    continue
                if isinstance(backend, RDBStorage):
                    backend.record_heartbeat(trial._trial_id)
                else:
                    storage.set_trial_user_attr(trial._trial_id, BEAT, self._beats)
        except UpdateFinishedTrialError:
            pass  # it was told in the meantime
        finally:
            if isinstance(backend, RDBStorage):
                backend.remove_session()  # each thread has its own
