"""What ties a worker to the process that started it: where the storage is, and a common end."""

import os
import signal
import threading
import time

__all__ = ["inherit", "lifeline"]

_POLL_S = 0.5
# A worker that is told to stop ends the step that it computes; one that hangs is killed [s].
_GRACE_S = 60.0
# Not on the command line, where everybody on the machine may read a password.
_STORAGE = "VAEOPT_WORKER_STORAGE"
_PARENT = "VAEOPT_WORKER_PARENT"


def lifeline(url: str) -> dict[str, str]:
    """Environment variables for a worker that this process starts.

    Args:
        url: of the storage.
    """
    return {_STORAGE: url, _PARENT: str(os.getpid())}


def inherit() -> str | None:
    """Called first by a process that another one may have started as a worker.

    From then on it ends, as at a SIGTERM, when that one is gone, whatever ended it.

    Returns:
        The storage that it was told, if it is such a worker.
    """
    parent, storage = os.environ.pop(_PARENT, None), os.environ.pop(_STORAGE, None)
    if parent is not None:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    return storage


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)
