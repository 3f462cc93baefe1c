"""Optuna's journal, a file of one line for each write, whose last line may have been cut off."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

__all__ = ["JournalFile"]


class JournalFile(JournalFileBackend):
    """A journal that a full disk or a power cut within a write leaves readable.

    The lock is Optuna's, so that every Optuna process may join; it works on NFS. Where a process is
    killed while it holds it, the others wait for 30 s once.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._held = JournalFileSymlinkLock(self.path)
        super().__init__(self.path, lock_obj=self._held)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines at the end, without the half of one that may be there."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        # At the end, wherever that is by then: a process that was paused under its lock for longer
        # than others wait may not write over what they have written since.
        with self._locked(), Path(self.path).open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            end = _end_of_lines(file)
            if end < size:
                file.truncate(end)
            written = 0
            try:
                while written < len(lines):
                    written += file.write(lines[written:])
                os.fsync(file.fileno())
            except OSError:  # a full disk: no half of a line stays
                if file.seek(0, os.SEEK_END) == end + written:
                    file.truncate(end)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._held.acquire()
        try:
            yield
        finally:
            with suppress(RuntimeError):  # another process has taken this one for dead
                self._held.release()


def _end_of_lines(file: FileIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
