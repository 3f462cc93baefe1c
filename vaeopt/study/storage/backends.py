"""From a URL to an Optuna storage: SQLite, a database server, a journal, or a gRPC proxy."""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalStorage
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from vaeopt.core.errors import StudyError
from vaeopt.study.storage import sqlite
from vaeopt.study.storage.away import NotOpenedError, reason_of
from vaeopt.study.storage.cached import CachedStorage
from vaeopt.study.storage.exclusive import backend_of, exclusive_engine, exclusive_file
from vaeopt.study.storage.journal import JournalFile
from vaeopt.study.storage.relational import Relational
from vaeopt.study.storage.urls import SETTING, parsed_url, shown_url, sqlite_path

__all__ = ["all_closed", "closed", "creating", "open_storage"]

_opened: "WeakSet[BaseStorage]" = WeakSet()

CONNECT_S = 10
_GRPC_PORT = 13000


def open_storage(url: str, *, create: bool = False) -> BaseStorage:
    """The storage at a URL, as every verb opens it.

    Args:
        url: of Optuna, or ``journal:///path`` or ``grpc://host:port``.
        create: whether tables are made where there are none; within :func:`creating`.

    Raises:
        StudyError: it cannot be used.
    """
    parsed = parsed_url(url)
    opened = _KINDS.get(parsed.drivername, _database)
    with _refused(url):
        storage = opened(parsed, create)
    _opened.add(storage)
    return storage


@contextmanager
def _refused(url: str) -> Iterator[None]:
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
        # RuntimeError: tables of another version of Optuna. No cause: drivers may show the URL.
        raise NotOpenedError(
            f"storage {shown_url(url)} cannot be opened: {reason_of(_cause(error))}",
            setting=SETTING,
            remedy="check the URL, its driver and that the server runs",
        ) from None


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ or error if isinstance(error, StorageInternalError) else error


def _database(url: URL, create: bool) -> BaseStorage:
    path = sqlite_path(url.render_as_string(hide_password=False))
    engine: dict[str, Any]
    if path is not None:
        if path.is_file() and not create:
            url = sqlite.readable(path, url)
        engine = {
            "connect_args": {"timeout": sqlite.WAIT_S},
            "pool_use_lifo": True,  # the same connection every time knows what the others write
            "pool_events": [(sqlite.pragmas, "connect")],
        }
    else:
        # One connection for each worker, and for a moment one more for its heartbeat: a server
        # has 100 by default.
        engine = {"pool_size": 1, "max_overflow": 4, "pool_pre_ping": True}
        if url.get_backend_name() == "postgresql":
            engine["connect_args"] = _POSTGRES
            engine["pool_events"] = [(_greet, "connect")]
        if not create and not _holds_tables(url, engine.get("connect_args", {})):
            return optuna.storages.InMemoryStorage()  # nothing is there, and nothing is made
    return CachedStorage(
        Relational(url.render_as_string(hide_password=False), engine, create=create)
    )


def _holds_tables(url: URL, connect_args: dict[str, Any]) -> bool:
    """Whether Optuna has made its tables; asked of an empty database, it fails without a reason."""
    unpooled = sqlalchemy.pool.NullPool
    engine = sqlalchemy.create_engine(url, poolclass=unpooled, connect_args=connect_args)
    if not sqlalchemy.inspect(engine).has_table("alembic_version"):
        return False
    with engine.connect() as connection:  # filled after it is made, where tables are made at once
        return connection.execute(text("SELECT 1 FROM alembic_version")).first() is not None


# A server that vanishes without a word is noticed after a minute, on both sides.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_POSTGRES = {"connect_timeout": CONNECT_S, "application_name": "vaeopt", **_KEEPALIVE}


def _greet(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
        for key, value in _KEEPALIVE.items():
            cursor.execute(f"SET tcp_{key} = {value}")
    connection.commit()


def _journal_path(url: URL) -> Path:
    if not url.database or url.host:
        raise StudyError(
            "a journal needs a file", setting=SETTING, remedy="write journal:///folder/file.log"
        )
    path = Path(url.database).resolve()
    if not path.parent.is_dir():
        raise StudyError(
            f"folder {str(path.parent)!r} of the storage does not exist", setting=SETTING
        )
    return path


def _journal(url: URL, create: bool) -> BaseStorage:
    path = _journal_path(url)
    if not create and not path.exists():
        return optuna.storages.InMemoryStorage()  # nothing is there, and nothing is made
    try:
        return JournalStorage(JournalFile(path))
    except ValueError as error:
        raise StudyError(f"{str(path)!r} is not a journal of Optuna", setting=SETTING) from error


def _grpc(url: URL, create: bool) -> BaseStorage:
    if importlib.util.find_spec("grpc") is None:
        raise StudyError(
            "grpc:// needs grpcio", setting=SETTING, remedy='pip install "vaeopt[cluster]"'
        )
    from vaeopt.study.storage.grpc import PatientProxy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        proxy = PatientProxy(host=url.host or "localhost", port=url.port or _GRPC_PORT)
    proxy.wait_server_ready(timeout=CONNECT_S)
    return proxy


_KINDS = {"journal": _journal, "grpc": _grpc}


@contextmanager
def creating(url: str) -> Iterator[None]:
    """One process at a time makes tables and studies; the others find them there."""
    parsed = parsed_url(url)
    if parsed.drivername == "grpc":
        yield
    elif parsed.drivername == "journal":
        with exclusive_file(Path(f"{_journal_path(parsed)}.exclusive")):
            yield
    else:
        with _refused(url):
            postgres = parsed.get_backend_name() == "postgresql"
            engine = sqlalchemy.create_engine(
                parsed, pool_size=1, connect_args=_POSTGRES if postgres else {}
            )
            if postgres:
                engine.connect().close()
        try:
            with exclusive_engine(engine):
                yield
        finally:
            engine.dispose()


def all_closed() -> None:
    """Close whatever this process has open, at the end of a verb."""
    for storage in list(_opened):
        closed(storage)


def closed(storage: BaseStorage) -> None:
    """Close what is open. The storage opens it again when it is asked for something.

    What SQLite still has in its log goes into the one file, which a user may copy then.
    """
    backend = backend_of(storage)
    if isinstance(backend, optuna.storages.RDBStorage):
        backend.scoped_session.remove()
        backend.engine.dispose()
