"""The dashboard as a user serves it: the verb in a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Served", "served"]

_LIMIT_S = 180  # a test must not hang
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Served:
    """A dashboard that answers; after the block also how it ended."""

    def __init__(self, process: "subprocess.Popen[str]", line: str) -> None:
        self.process = process
        self.line = line
        """what it said first"""
        self.address = line.split()[2]
        """of the page of the study"""
        self.out, self.err = "", ""

    @property
    def root(self) -> str:
        """Of the whole server, without a slash at the end."""
        return self.address.partition("/dashboard/")[0]

    def ask(self, path: str) -> Any:
        """What a path below the root answers, which is JSON."""
        with _OPENER.open(f"{self.root}{path}", timeout=60) as answer:
            return json.load(answer)

    def text(self, path: str) -> str:
        """The same as text."""
        with _OPENER.open(f"{self.root}{path}", timeout=60) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def served(study: Path, *options: str) -> Iterator[Served]:
    """``vaeopt dashboard`` at a free port, until the end of the block, which is its Ctrl-C."""
    command = [sys.executable, "-m", "vaeopt", "dashboard", str(study), "--port", "0", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("OPTUNA_STORAGE", None)
    with subprocess.Popen(  # noqa: S603  # this Python, on a folder of ours
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        lifeline = threading.Timer(_LIMIT_S, process.kill)
        lifeline.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("dashboard on http://"):
                raise AssertionError(line + process.communicate()[1])
            dashboard = Served(process, line)
            yield dashboard
            process.send_signal(signal.SIGINT)
            dashboard.out, dashboard.err = process.communicate(timeout=60)
        finally:
            lifeline.cancel()
            process.kill()
