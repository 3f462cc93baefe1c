"""Opening the Optuna storage of a study: created, loaded, or refused in one line."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from vaeopt.core.errors import StudyError
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.file import StudyFile
from vaeopt.study.guard import check_same
from vaeopt.study.quiet import name_metrics
from vaeopt.study.session import Session
from vaeopt.study.storage.cached import CachedStorage
from vaeopt.study.storage.urls import SETTING, shown_url, storage_url

__all__ = ["create_or_load", "load_study"]


def create_or_load(session: Session, url: str) -> optuna.Study:
    """The study in the storage, created now or checked to be the same one as before.

    Raises:
        StudyError: the storage cannot be used, or its study of this name is another one.
            Nothing has been written then.
    """
    settings = session.file.settings
    exists = _sqlite_file_is_ours(url)
    storage = _open(url, must_exist=False)
    names = [] if exists is False else _names(storage, url)
    labels = [reward.label for reward in settings.workflow.rewards]
    if settings.name in names:
        study = optuna.load_study(study_name=settings.name, storage=storage)
        if IDENTITY not in study.user_attrs:
            raise _foreign(settings.name, url)
        check_same(study, session)
        return study
    study = optuna.create_study(
        study_name=settings.name, storage=storage, directions=settings.directions
    )
    name_metrics(study, labels)
    study.set_user_attr(IDENTITY, session.identity())
    return study


def load_study(file: StudyFile, storage: str | None = None) -> optuna.Study:
    """The study that a study file has made before; nothing is created.

    Raises:
        StudyError: there is none yet.
    """
    url = storage_url(file, storage)
    if _sqlite_file_is_ours(url) is not False:
        opened = _open(url, must_exist=True)
        if file.settings.name in _names(opened, url):
            study = optuna.load_study(study_name=file.settings.name, storage=opened)
            if IDENTITY not in study.user_attrs:
                raise _foreign(file.settings.name, url)
            return study
    raise StudyError(
        f"no study {file.settings.name!r} in {shown_url(url)} yet",
        remedy="start it with 'vaeopt optimize'",
    )


def _sqlite_file_is_ours(url: str) -> bool | None:
    """Whether a SQLite file exists and holds Optuna tables; None for other storages.

    Optuna adds its tables to any database that it is pointed at and leaves an empty file where
    there was none: look first.
    """
    path = _sqlite_path(url)
    if path is None:
        return None
    if not path.exists():
        if not path.parent.is_dir():
            raise StudyError(
                f"folder {str(path.parent)!r} of the storage does not exist", setting=SETTING
            )
        return False
    if path.stat().st_size == 0:
        return False
    try:
        # Not "ro": what a process that was killed had half written is rolled back when it is read.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as db:
            rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise StudyError(
            f"{str(path)!r} is not a study database: {error}",
            setting=SETTING,
            remedy="choose another file, or move this one away",
        ) from error
    tables = {name for (name,) in rows}
    if tables and "studies" not in tables:
        raise StudyError(
            f"{str(path)!r} is a database of something else (tables {', '.join(sorted(tables))})",
            setting=SETTING,
            remedy="choose another file",
        )
    return bool(tables)


def _sqlite_path(url: str) -> Path | None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StudyError(
            "the storage URL cannot be read", setting=SETTING, remedy="write sqlite:///file.db"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StudyError(
            "a study needs a SQLite file", setting=SETTING, remedy="write sqlite:///file.db"
        )
    return Path(parsed.database)


def _open(url: str, *, must_exist: bool) -> CachedStorage:
    # 60 s: another process may hold the file for as long as it writes a trial.
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine: dict[str, Any] = {"connect_args": {"timeout": 60}} if sqlite else {}
    try:
        database = optuna.storages.RDBStorage(
            url, engine_kwargs=engine, skip_table_creation=must_exist and sqlite
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StudyError(
            f"storage {shown_url(url)} cannot be opened: {reason}",
            setting=SETTING,
            remedy="check the URL, its driver and that the server runs",
        ) from error
    return CachedStorage(database)


def _names(storage: CachedStorage, url: str) -> list[str]:
    try:
        return optuna.get_all_study_names(storage)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StudyError(f"storage {shown_url(url)} cannot be read", setting=SETTING) from error


def _foreign(name: str, url: str) -> StudyError:
    return StudyError(
        f"study {name!r} in {shown_url(url)} was not made by vaeopt",
        setting="name",
        remedy="choose another name or another storage",
    )
