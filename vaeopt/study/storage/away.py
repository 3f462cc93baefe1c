"""A storage that could be used before and cannot now."""

from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from vaeopt.core.errors import StudyError
from vaeopt.study.storage.urls import SETTING, shown_url

__all__ = [
    "LostError",
    "NotOpenedError",
    "StorageError",
    "again_if_lost",
    "away",
    "reason_of",
    "was_lost",
]

_Answer = TypeVar("_Answer")
# A server that is started anew takes connections once; one that does so again and again is broken.
_LOSSES = 3


class NotOpenedError(StudyError):
    """Nothing can be opened at this URL, so there is nothing to look for."""


class StorageError(StudyError, StorageInternalError):
    """The server is gone, the disk is full, the file is locked: the study can go on later."""


class LostError(StorageError):
    """The connection was lost within a step; nothing of the step may have been done."""


def again_if_lost(step: Callable[[], _Answer]) -> _Answer:
    """What a step answers; it is done again, a few times, if its connection is lost meanwhile.

    Args:
        step: sees by itself what it has done before.
    """
    for _ in range(_LOSSES):
        try:
            return step()
        except LostError:
            continue
    return step()


def was_lost(cause: BaseException | None) -> bool:
    """Whether a call failed because the connection broke, then or shortly before."""
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated
    return isinstance(cause, PendingRollbackError)


def away(engine: Engine, cause: BaseException) -> StorageError:
    """What to say of a call that failed."""
    shown = shown_url(engine.url.render_as_string(hide_password=True))
    kind = LostError if was_lost(cause) else StorageError
    return kind(
        f"storage {shown} cannot be used now: {reason_of(cause)}",
        setting=SETTING,
        remedy="run the same command again when it can; no finished trial is lost",
    )


def reason_of(error: BaseException) -> str:
    """The first line of what a database driver says."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__
