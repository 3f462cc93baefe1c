"""The study in a storage: created, loaded, or refused in one line."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from sqlalchemy.exc import SQLAlchemyError

from vaeopt.core.errors import StudyError
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.file import StudyFile
from vaeopt.study.guard import check_acceptable, check_same, refuse_changes
from vaeopt.study.origin import came_from
from vaeopt.study.quiet import name_metrics
from vaeopt.study.session import Session
from vaeopt.study.storage import sqlite
from vaeopt.study.storage.backends import closed, creating, open_storage
from vaeopt.study.storage.urls import SETTING, shown_url, sqlite_path, storage_url

__all__ = ["create_or_load", "load_study"]


def create_or_load(session: Session, url: str, *, accept: Collection[str] = ()) -> optuna.Study:
    """The study in the storage, created now or checked to be the same one as before.

    Of processes that come at the same time one creates it, and the others find it there.

    Args:
        session: of the study file.
        url: of the storage.
        accept: differences that are let through (see :func:`check_same`).

    Raises:
        StudyError: the storage cannot be used, or its study of this name is another one.
            Nothing has been written then.
    """
    for each in accept:  # also where there is nothing to compare with yet
        check_acceptable(each)
    name = session.file.settings.name
    path = sqlite_path(url)
    if path is not None and sqlite.holds_tables(path):
        with _left_closed(open_storage(url)) as storage:
            there = _study(storage, name, url)
            if there is not None and not _begun(there, session):
                _check_ours(there, url)
                refuse_changes(there, session, accept=accept, asks=True)
    if path is None or not sqlite.holds_study(path, name):
        with creating(url):
            study = _created(session, open_storage(url, create=True), url)
    else:
        study = optuna.load_study(study_name=name, storage=open_storage(url))
    with _left_closed(study._storage):
        check_same(study, session, accept=accept, asks=True)
        if path is not None:
            sqlite.shared(path)
    return came_from(study, session.file)


@contextmanager
def _left_closed(storage: BaseStorage) -> Iterator[BaseStorage]:
    """A refusal leaves the files as they were: nothing of them stays open."""
    try:
        yield storage
    finally:
        closed(storage)


def _created(session: Session, storage: BaseStorage, url: str) -> optuna.Study:
    settings = session.file.settings
    study = _study(storage, settings.name, url)
    if study is None:
        try:
            study = optuna.create_study(
                study_name=settings.name, storage=storage, directions=settings.directions
            )
        except DuplicatedStudyError:  # behind gRPC there is no lock
            study = optuna.load_study(study_name=settings.name, storage=storage)
    if not _begun(study, session):
        _check_ours(study, url)
    else:
        name_metrics(study, [reward.label for reward in settings.workflow.rewards])
        study.set_user_attr(IDENTITY, session.identity())
    return study


def _begun(study: optuna.Study, session: Session) -> bool:
    """Whether a process may have been killed while it created this study."""
    directions = [direction.name.lower() for direction in study.directions]
    return not (study.trials or study.user_attrs) and directions == session.file.settings.directions


def load_study(file: StudyFile, storage: str | None = None) -> optuna.Study:
    """The study that a study file has made before; nothing is created.

    Raises:
        StudyError: there is none yet.
    """
    url = storage_url(file, storage)
    path = sqlite_path(url)
    if path is None or sqlite.holds_tables(path):
        with _left_closed(open_storage(url)) as opened:
            study = _study(opened, file.settings.name, url)
            if study is not None:
                _check_ours(study, url)
                return came_from(study, file)
    raise StudyError(
        f"no study {file.settings.name!r} in {shown_url(url)} yet",
        remedy="make it with 'vaeopt create', or start it with 'vaeopt optimize'",
    )


def _study(storage: BaseStorage, name: str, url: str) -> optuna.Study | None:
    try:
        if name not in optuna.get_all_study_names(storage):
            return None
        return optuna.load_study(study_name=name, storage=storage)
    except SQLAlchemyError as error:
        raise StudyError(f"storage {shown_url(url)} cannot be read", setting=SETTING) from error


def _check_ours(study: optuna.Study, url: str) -> None:
    if IDENTITY not in study.user_attrs:
        raise StudyError(
            f"study {study.study_name!r} in {shown_url(url)} was not made by vaeopt",
            setting="name",
            remedy="choose another name or another storage",
        )
