"""A full or broken disk, told in one line: it stops a study, and no trial fails for it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from vaeopt.core.errors import StudyError

__all__ = ["NoRoomError", "room_on_disk"]

_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
# What SQLite and PostgreSQL say; neither of Optuna's errors carries a number.
_WORDS = (
    "disk is full",
    "disk i/o error",
    "readonly database",
    "no space left on device",
    "could not extend file",
)


class NoRoomError(StudyError):
    """Nothing more can be written."""


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Name the disk where the disk is the reason, whatever the error came as.

    Raises:
        NoRoomError: with the reason.
    """
    try:
        yield
    except NoRoomError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise NoRoomError(
            f"the study cannot be written: {reason}",
            remedy="make room, then give the same command: it goes on with the trial that was cut "
            "off",
        ) from error


def _reason(error: BaseException) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _ERRORS:
            return f"{seen.strerror} ({seen.filename})" if seen.filename else str(seen.strerror)
        text = str(seen).splitlines()[0] if str(seen) else ""
        if any(word in text.lower() for word in _WORDS):
            return text
        seen = seen.__cause__ or seen.__context__
    return None
