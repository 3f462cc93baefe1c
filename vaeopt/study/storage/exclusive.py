"""One process at a time, of all that share a storage: for what Optuna does in several steps."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import JournalStorage
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vaeopt.core.errors import StudyError
from vaeopt.study.storage.away import LostError, away
from vaeopt.study.storage.holder import holder_of, said_if_long
from vaeopt.study.storage.journal import JournalFile

__all__ = ["backend_of", "exclusive", "exclusive_engine", "exclusive_file"]

_KEY = int.from_bytes(b"vaeopt")
_here = threading.local()


@contextmanager
def exclusive(storage: BaseStorage) -> Iterator[None]:
    """Keep other processes out of this block until it ends, or until this process does.

    Trials are counted, claimed and signed within it. A block may stand within another one. There is
    no such lock behind gRPC and on MySQL: two workers may then start the last trial both.

    Args:
        storage: of the study.
    """
    backend = backend_of(storage)
    if isinstance(backend, RDBStorage):
        with exclusive_engine(backend.engine, backend.scoped_session):
            yield
    elif isinstance(backend, JournalStorage) and isinstance(backend._backend, JournalFile):
        with exclusive_file(Path(f"{backend._backend.path}.exclusive")):
            yield
    else:
        yield


def backend_of(storage: BaseStorage) -> BaseStorage:
    """The storage behind Optuna's cache."""
    return storage._backend if isinstance(storage, _CachedStorage) else storage


@contextmanager
def exclusive_engine(engine: Engine, sessions: Any = None) -> Iterator[None]:
    """The same for a database, whose tables need not be there yet.

    Args:
        engine: of the database.
        sessions: of this thread inside the block use the connection that holds the lock: a worker
            takes one of the server's connections, also while it waits.
    """
    kind, database = engine.url.get_backend_name(), engine.url.database
    if kind == "sqlite" and database and database != ":memory:" and not engine.url.query:
        with exclusive_file(Path(f"{Path(database).resolve()}.lock")):
            yield
    elif kind == "postgresql":
        where = (engine.url.host, engine.url.port, database)
        with _first(where) as first:
            if first:
                with _connection(engine) as connection, _advisory(connection, sessions):
                    yield
            else:
                yield
    else:
        yield


@contextmanager
def exclusive_file(file: Path) -> Iterator[None]:
    """The same for all who lock this file, which stays empty and stays there."""
    with _first(file) as first:
        if not first:
            yield
            return
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(descriptor, file)  # freed by the kernel, however the process ends
            yield
        finally:
            os.close(descriptor)


def _flock(descriptor: int, file: Path) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with said_if_long(lambda: holder_of(descriptor)):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise StudyError(
            f"{str(file)!r} cannot be locked on this file system: {error.strerror}",
            remedy="keep the study on a local disk, or use PostgreSQL",
        ) from error


@contextmanager
def _first(key: object) -> Iterator[bool]:
    """Whether this block stands in no other one of this thread."""
    held: set[object] = _here.__dict__.setdefault("held", set())
    if key in held:
        yield False
        return
    held.add(key)
    try:
        yield True
    finally:
        held.discard(key)


def _connection(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise away(engine, error) from error


@contextmanager
def _advisory(connection: Connection, sessions: Any) -> Iterator[None]:
    """A lock of the server, which it frees when the connection ends, however it does."""
    engine = connection.engine
    session = None if sessions is None else sessions()
    try:
        if _ask(connection, "SELECT pg_try_advisory_lock(:key)") is False:
            with said_if_long(lambda: _holder(engine)):
                _ask(connection, "SELECT pg_advisory_lock(:key)")
        if session is not None:
            session.bind = connection
        yield
        # The connection may have been lost and made anew within the block, without the lock.
        if _ask(connection, "SELECT pg_advisory_unlock(:key)") is False:
            raise LostError(
                "the lock of the study was lost with its connection",
                remedy="run the same command again",
            )
    except BaseException:
        connection.invalidate()
        raise
    finally:
        if session is not None:
            session.bind = engine


def _holder(engine: Engine) -> str:
    """Who holds the lock, as the server knows it."""
    # The halves of the key are told apart there.
    query = (
        "SELECT pid, client_addr FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted "
        "AND (CAST(classid AS bigint) << 32) + CAST(objid AS bigint) = :key"
    )
    with engine.connect() as connection:
        pid, address = connection.execute(text(query), {"key": _KEY}).one()
    return f"the client at {address or 'this machine'} (process {pid} of the server)"


def _ask(connection: Connection, query: str) -> Any:
    try:
        answer = connection.execute(text(query), {"key": _KEY}).scalar()
        connection.commit()
    except SQLAlchemyError as error:
        raise away(connection.engine, error) from error
    return answer
