"""Which process runs a trial, and whether it is still there."""

import os
import socket
from datetime import datetime, timedelta

import psutil
from optuna.trial import FrozenTrial

from vaeopt.study.attributes import WORKER

__all__ = ["alive", "worker_alive", "worker_name"]

# A trial without a worker's name died between being asked for and being signed for.
_SIGNING = timedelta(seconds=30)


def worker_name(pid: int | None = None) -> str:
    """``host:pid:start`` of this or another process here; the start tells a reused number apart."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.0f}"


def alive(trial: FrozenTrial) -> bool:
    """Whether another process than this one runs the trial, as far as can be known."""
    worker = trial.user_attrs.get(WORKER)
    if isinstance(worker, str):
        return worker != worker_name() and worker_alive(worker)
    started = trial.datetime_start
    return started is not None and datetime.now() - started < _SIGNING


def worker_alive(name: str) -> bool:
    """Whether the process that took a trial is still there; unknown hosts count as alive."""
    host, pid, start = name.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(start)) < 2
    except psutil.Error:
        return False
