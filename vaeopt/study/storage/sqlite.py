"""SQLite as several processes of one machine can share it, and as a user may copy it."""

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from sqlalchemy.engine import URL

from vaeopt.core.errors import StudyError
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.storage.urls import SETTING

__all__ = ["holds_study", "holds_tables", "pragmas", "readable", "shared"]

_log = logging.getLogger(__name__)

# Another process may hold the file for as long as it writes a trial.
WAIT_S = 60
# NORMAL would be a little faster, but a power cut could take trials that were told
# (docs/benchmarks.md).
SYNCHRONOUS = "FULL"
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.sshfs", "fuse.glusterfs"}
_NETWORK |= {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "panfs"}
_READS_WAL = 2  # bytes 18 and 19 of the file: 1 with a rollback journal


def pragmas(connection: sqlite3.Connection, record: object) -> None:
    """What to say on every new connection, for SQLAlchemy's event ``connect``."""
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")


def shared(path: Path) -> None:
    """Let readers and a writer use the file at the same time, where its file system allows it."""
    journal = "DELETE" if on_network(path) else "WAL"
    # Where somebody else has the file open as it was, it stays so.
    unchanged = contextlib.suppress(sqlite3.OperationalError)
    with unchanged, closing(sqlite3.connect(path, timeout=WAIT_S)) as db:
        db.execute(f"PRAGMA journal_mode = {journal}")


@cache
def on_network(path: Path) -> bool:
    """Whether a file lies where a log that processes share in memory cannot work; says so once."""
    kind = _file_system(path.resolve())
    if kind not in _NETWORK:
        return False
    _log.warning(
        "%s is on a network file system (%s): let one machine at a time write to it, or use "
        "PostgreSQL",
        path,
        kind,
    )
    return True


def _file_system(path: Path) -> str:
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for folder in path.parents:
        if str(folder) in mounts:
            return str(mounts[str(folder)])
    return ""


def readable(path: Path, url: URL | None = None) -> URL:
    """How to open a file that is there: as it is, or without writing where one may not write.

    Args:
        path: of the file.
        url: that leads to it.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return url or URL.create("sqlite", database=str(path))
    log, journal, index = (Path(f"{path}-{end}") for end in ("wal", "journal", "shm"))
    options = {"mode": "ro", "uri": "true"}
    if (_filled(log) and not index.exists()) or _filled(journal):
        # What a killed process has left must be worked in, which takes a folder to write to.
        path = _copy(path, log, journal)
        options["mode"] = "rw"
    elif not _filled(log) and _uses_log(path):
        options["immutable"] = "1"  # else an empty log is made, which takes a folder to write to
    return URL.create("sqlite", database=f"file:{quote(str(path.resolve()))}", query=options)


def _filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _uses_log(path: Path) -> bool:
    with path.open("rb") as file:
        return _READS_WAL in file.read(20)[18:]


_copies: list[tempfile.TemporaryDirectory[str]] = []  # gone when the process ends


def _copy(*paths: Path) -> Path:
    _copies.append(tempfile.TemporaryDirectory(prefix="vaeopt-", ignore_cleanup_errors=True))
    for path in paths:
        if path.exists():
            shutil.copyfile(path, Path(_copies[-1].name) / path.name)
    return Path(_copies[-1].name) / paths[0].name


def holds_tables(path: Path) -> bool:
    """Whether a SQLite file exists and holds all tables of Optuna.

    Optuna adds its tables to any database that it is pointed at and leaves an empty file where
    there was none: look first.

    Raises:
        StudyError: it is something else.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise StudyError(
                f"folder {str(path.parent)!r} of the storage does not exist", setting=SETTING
            )
        return False
    if path.is_file() and path.stat().st_size == 0:
        return False
    rows = _rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {name for (name,) in rows}
    if tables and "studies" not in tables:
        raise StudyError(
            f"{str(path)!r} is a database of something else (tables {', '.join(sorted(tables))})",
            setting=SETTING,
            remedy="choose another file",
        )
    # Written last: SQLite makes a table at once and fills it later. Without its row a process is
    # still over the tables, or was killed over them; Optuna would fill it beside that process.
    return "alembic_version" in tables and bool(_rows(path, "SELECT 1 FROM alembic_version"))


def holds_study(path: Path, name: str) -> bool:
    """Whether all is there that is written when a study is created."""
    query = (
        "SELECT 1 FROM studies JOIN study_user_attributes USING (study_id) "
        "WHERE study_name = ? AND key = ?"
    )
    try:
        return bool(_rows(path, query, name, IDENTITY))
    except StudyError:  # tables that are not all there yet
        return False


def _rows(path: Path, query: str, *values: str) -> list[Any]:
    try:
        # Not "ro" by itself: what a process that was killed had half written is rolled back.
        place, options = path.resolve().as_uri(), "mode=rw"
        if path.is_file() and (url := readable(path)).query:
            place = str(url.database)
            options = "&".join(f"{key}={value}" for key, value in url.query.items())
        with closing(sqlite3.connect(f"{place}?{options}", uri=True, timeout=WAIT_S)) as db:
            return db.execute(query, values).fetchall()
    except (sqlite3.Error, OSError) as error:
        raise StudyError(
            f"{str(path)!r} is not a study database: {error}",
            setting=SETTING,
            remedy="choose another file, or move this one away",
        ) from error
