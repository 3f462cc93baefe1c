"""Which storage a study lives in, and how its URL may be shown."""

import importlib.util
import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from vaeopt.core.errors import StudyError
from vaeopt.core.secrets import masked, remember_secrets
from vaeopt.study.file import StudyFile

__all__ = ["SETTING", "parsed_url", "shown_url", "sqlite_path", "storage_url"]

SETTING = "optuna.storage"


def storage_url(file: StudyFile, storage: str | None = None) -> str:
    """Command line over study file over ``OPTUNA_STORAGE`` over a SQLite file in the folder."""
    places = (storage, file.settings.optuna.storage, os.environ.get("OPTUNA_STORAGE") or None)
    given = next((place for place in places if place is not None), None)
    if given is not None and not given.strip():
        raise StudyError(
            "the storage URL is empty",
            setting=SETTING,
            remedy="give one, or leave it out for a SQLite file beside the study file",
        )
    if given is None:
        # Not an f-string: "?" and "%" in the name of a folder mean something in a URL.
        return URL.create("sqlite", database=str(file.database)).render_as_string()
    remember_secrets(given)
    if "://" not in given:
        raise StudyError(
            f"storage {given!r} is not a URL",
            setting=SETTING,
            remedy=f"write sqlite:///{given} for a SQLite file",
        )
    return given


def parsed_url(url: str) -> URL:
    """The parts of a storage URL, with the driver of PostgreSQL that is installed.

    Raises:
        StudyError: it cannot be read, or there is no driver.
    """
    remember_secrets(url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        # Without its cause, which shows the URL.
        raise StudyError(
            "the storage URL cannot be read", setting=SETTING, remedy=_remedy(url)
        ) from None
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername=f"postgresql+{_postgres_driver(url)}")
    return parsed


_FORMS = {
    "postgres": "postgresql://user@host:5432/database, the port a number",
    "mysql": "mysql+driver://user@host:3306/database, the port a number",
    "journal": "journal:///folder/file.log",
    "grpc": "grpc://host:13000, the port a number",
}


def _remedy(url: str) -> str:
    """How a URL of this kind looks; nothing of the given one, which may hold a password."""
    kind = url.strip().lower()
    found = (form for start, form in _FORMS.items() if kind.startswith(start))
    return f"write {next(found, 'sqlite:///file.db')}"


def _postgres_driver(url: str) -> str:
    for driver in ("psycopg", "psycopg2"):
        if importlib.util.find_spec(driver) is not None:
            return driver
    raise StudyError(
        f"storage {shown_url(url)} cannot be opened: there is no driver for PostgreSQL",
        setting=SETTING,
        remedy='pip install "vaeopt[cluster]"',
    )


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite storage; None for other storages.

    Raises:
        StudyError: the URL cannot be read, or names no file.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StudyError(
            "a study needs a SQLite file", setting=SETTING, remedy="write sqlite:///file.db"
        )
    return Path(parsed.database)


def shown_url(url: str) -> str:
    """The URL without its password, for messages and reports."""
    try:
        return masked(make_url(url).render_as_string(hide_password=True))
    except (ArgumentError, ValueError):
        return "a storage URL that cannot be read"
