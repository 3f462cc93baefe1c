"""Who holds a lock that others wait for: a process that was paused says nothing by itself."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["holder_of", "said_if_long"]

_log = logging.getLogger(__name__)

SAID_S = 30.0
"""how long one waits before it is said"""
_LOCKS = Path("/proc/locks")


@contextmanager
def said_if_long(holder: Callable[[], str]) -> Iterator[None]:
    """Say once, if the block takes long, who is waited for.

    Args:
        holder: looks it up, from another thread.
    """

    def say() -> None:
        try:
            who = holder()
        except Exception:  # what is only a word must not end a thread with a traceback
            who = "another process"
        _log.warning(
            "waiting for the lock of the study for %.0f s: %s holds it; continue or end it "
            "if it is stopped",
            SAID_S,
            who,
        )

    timer = threading.Timer(SAID_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def holder_of(descriptor: int) -> str:
    """The process that holds a lock on an open file, as far as Linux tells."""
    found = os.fstat(descriptor)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in _LOCKS.read_text().splitlines() if _LOCKS.exists() else ():
        # 1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF; those that wait have an arrow behind 1:
        _, kind, _, _, pid, where, *_ = line.split()
        if (kind, where) == ("FLOCK", place) and int(pid) > 0:
            return _process(int(pid))
    return "another process"


def _process(pid: int) -> str:
    try:
        stopped = psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid}, which is stopped" if stopped else f"process {pid}"
