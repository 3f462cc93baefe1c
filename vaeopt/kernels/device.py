"""Which device computes: the CPU, a GPU that is named, or the GPU that this process has claimed.

On a machine with several GPUs every process takes one of its own, however the processes were
started. A claim is an advisory lock on a file named by the GPU; the system drops it when the
process ends, whatever ended it.
"""

import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import torch

from vaeopt.core.errors import VaeoptError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["DEVICE_PATTERN", "Claim", "expect_device", "resolve_device", "worthwhile"]

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d+)?)$"
"""of a setting that names a device"""

# Numbers that an operation must touch before a GPU is asked: below, the time to start an operation
# there is longer than the operation. A guess: it has not been measured.
_WORTHWHILE = 2**17

_SHARED = "all %d GPUs are taken: cuda:%d is shared, other processes on it: %d"

_log = logging.getLogger(__name__)


class Claim:
    """The GPU of this process: found once, then always the same.

    Args:
        gpus: names of the GPUs that the process sees, in their order; unlike their numbers, they
            are the same for every process. Asked when the first claim is made.
        folder: of the lock files; the temporary folder of the system if left out.
    """

    def __init__(self, gpus: Callable[[], Sequence[str]], folder: Path | None = None) -> None:
        self._gpus, self._folder = gpus, folder
        self._lock, self._found = Lock(), -1
        self._file: int | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def index(self) -> int:
        """Number of the GPU: the first that fewest other processes have claimed."""
        with self._lock:
            if self._found < 0:
                self._found = self._take(self._gpus())
            return self._found

    def found(self) -> int | None:
        """That number if it has been asked for; claims nothing."""
        with self._lock:
            return None if self._found < 0 else self._found

    def _take(self, gpus: Sequence[str]) -> int:
        if len(gpus) < 2 or fcntl is None:
            return 0
        folder = self._folder or Path(tempfile.gettempdir())
        try:
            for place in itertools.count():
                for index, gpu in enumerate(gpus):
                    self._file = _locked(folder / f"vaeopt-{gpu}.{place}.lock")
                    if self._file is not None:
                        if place:
                            _log.warning(_SHARED, len(gpus), index, place)
                        return index
        except OSError as error:  # a folder that cannot be written, a system without such locks
            _log.warning("no GPU can be claimed, cuda:0 is used: %s", error)
        return 0

    def _forget(self) -> None:
        """A forked child is a process of its own; the lock stays with its parent."""
        self._lock, self._found = Lock(), -1
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _locked(path: Path) -> int | None:
    """An open file whose lock is ours, or nothing if another process has it."""
    try:
        # Not created where it exists: systems refuse that for files of other users in /tmp.
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        os.fchmod(file, 0o644)  # whatever the umask: other users must see the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        os.close(file)
        raise
    return file


def _uuids() -> list[str]:
    count = torch.cuda.device_count()
    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(count)]


_claim = Claim(_uuids)


def worthwhile(numbers: int) -> bool:
    """Whether an operation touches so many numbers that a GPU is worth asking."""
    return numbers >= _WORTHWHILE


def expect_device(wish: str, *, setting: str) -> torch.device:
    """The device that a wish will become where the work is worthwhile; claims nothing.

    Args:
        wish: see :func:`resolve_device`.
        setting: see there.

    Returns:
        ``cuda`` without a number for the GPU that this process has yet to claim.

    Raises:
        VaeoptError: the GPU is not there.
    """
    there = torch.cuda.is_available()
    if wish == "auto" and not there:
        return torch.device("cpu")
    if there and wish in ("auto", "cuda"):
        index = _claim.found()
        return torch.device("cuda") if index is None else torch.device("cuda", index)
    return _named(wish, setting, torch.cuda.device_count() if there else 0)


def resolve_device(wish: str, *, setting: str, numbers: int | None = None) -> torch.device:
    """The device that a setting asks for; always the same one within a process.

    Args:
        wish: ``cpu``; ``cuda:N``; ``cuda``, the GPU that this process has claimed; or ``auto``,
            that GPU where there is one and it is worthwhile, else the CPU.
        setting: where the wish stands, for the error.
        numbers: that a typical operation touches; if left out, a GPU is always worthwhile.

    Raises:
        VaeoptError: the GPU is not there.
    """
    there = torch.cuda.is_available()
    if wish == "auto" and (not there or (numbers is not None and not worthwhile(numbers))):
        return torch.device("cpu")
    if there and wish in ("auto", "cuda"):
        return torch.device("cuda", _claim.index())
    return _named(wish, setting, torch.cuda.device_count() if there else 0)


def _named(wish: str, setting: str, count: int) -> torch.device:
    device = torch.device(wish)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise VaeoptError(
            f"device {wish!r} is not there ({count} CUDA devices)",
            setting=setting,
            remedy="use 'auto' or 'cpu'",
        )
    return device
