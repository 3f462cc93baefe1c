"""Which storage a study lives in, and how its URL may be shown."""

import os

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from vaeopt.core.errors import StudyError
from vaeopt.study.file import StudyFile

__all__ = ["SETTING", "shown_url", "storage_url"]

SETTING = "optuna.storage"


def storage_url(file: StudyFile, storage: str | None = None) -> str:
    """Command line over study file over ``OPTUNA_STORAGE`` over a SQLite file in the folder."""
    given = storage or file.settings.optuna.storage or os.environ.get("OPTUNA_STORAGE")
    if not given:
        # Not an f-string: "?" and "%" in the name of a folder mean something in a URL.
        return URL.create("sqlite", database=str(file.database)).render_as_string()
    if "://" not in given:
        raise StudyError(
            f"storage {given!r} is not a URL",
            setting=SETTING,
            remedy=f"write sqlite:///{given} for a SQLite file",
        )
    return given


def shown_url(url: str) -> str:
    """The URL without its password, for messages and reports."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        return "a storage URL that cannot be read"
