"""Who is waited for is said once, where a lock is held for long."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vaeopt.study.storage import exclusive, holder, open_storage
from vaeopt.study.storage.exclusive import exclusive_file

HOLDS = """
import sys
from pathlib import Path
from vaeopt.study.storage.exclusive import exclusive_file
with exclusive_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _stopped(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that was paused while it holds a lock."""
    words = [sys.executable, "-c", HOLDS, str(lock)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603  # ourselves
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)  # until it has stopped
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.stdin.close()


class _Released(logging.Handler):
    """Lets the process go on as soon as something was said of it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__()
        self.lines: list[str] = []
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def test_a_process_that_was_paused_under_the_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "SAID_S", 0.2)
    lock = tmp_path / "study.db.lock"
    with _stopped(lock) as process:
        handler = _Released(process)
        holder._log.addHandler(handler)
        try:
            with exclusive_file(lock):
                pass
        finally:
            holder._log.removeHandler(handler)
        (line,) = handler.lines
        assert line.startswith("waiting for the lock of the study for 0 s: ")
        if sys.platform == "linux":
            assert f"process {process.pid}, which is stopped holds it" in line


def test_nothing_is_said_of_a_lock_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(holder, "SAID_S", 0.0)
    with exclusive_file(tmp_path / "x.lock"):
        pass
    assert caplog.messages == []


def test_the_client_of_a_server_is_named(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "SAID_S", 0.2)
    lines: list[str] = []
    first, second = open_storage(postgres_url, create=True), open_storage(postgres_url)
    said, got = threading.Event(), threading.Event()

    def say(line: str, *words: object) -> None:
        lines.append(line % words)
        said.set()

    monkeypatch.setattr(holder._log, "warning", say)

    def waits() -> None:
        with exclusive(second):
            got.set()

    thread = threading.Thread(target=waits)
    with exclusive(first):
        thread.start()
        assert said.wait(60)
        assert not got.is_set()
    thread.join(60)
    assert got.is_set()
    (line,) = lines
    assert "the client at " in line
    assert " of the server) holds it" in line
