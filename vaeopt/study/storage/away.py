"""A storage that could be used before and cannot now."""

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import Engine

from vaeopt.core.errors import StudyError
from vaeopt.study.storage.urls import SETTING, shown_url

__all__ = ["StorageAway", "away", "reason_of"]


class StorageAway(StudyError, StorageInternalError):
    """The server is gone, the disk is full, the file is locked: the study can go on later."""


def away(engine: Engine, cause: BaseException) -> StorageAway:
    """What to say of a call that failed."""
    shown = shown_url(engine.url.render_as_string(hide_password=True))
    return StorageAway(
        f"storage {shown} cannot be used now: {reason_of(cause)}",
        setting=SETTING,
        remedy="run the same command again when it can; no finished trial is lost",
    )


def reason_of(error: BaseException) -> str:
    """The first line of what a database driver says."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__
