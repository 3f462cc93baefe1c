"""Several writes as one transaction: done together or not at all, and for the price of one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.storage import _create_scoped_session
from sqlalchemy.orm import Session, scoped_session

__all__ = ["is_shared", "rdb_of", "together"]


@contextmanager
def together(storage: BaseStorage) -> Iterator[None]:
    """Write what this thread writes inside the block in one transaction, at its end.

    An error inside undoes all of it. A process that is killed inside has written nothing. Other
    processes wait from the first write to the end of the block, so nothing slow belongs into it.
    Storages that are no databases write one after the other, as always.

    Args:
        storage: of the study.

    Raises:
        StorageInternalError: the transaction was not taken.
    """
    rdb = rdb_of(storage)
    if rdb is None:
        yield
        return
    # Optuna opens a session of its own for every write; these are all of them. Semi-private.
    held: Any = rdb.scoped_session
    sessions = held if isinstance(held, _Sessions) else _Sessions(held)
    vars(rdb)["scoped_session"] = sessions
    if sessions.shared is not None:
        yield
        return
    with _create_scoped_session(held) as session:
        shared = _Shared(session)
        sessions.shared = shared
        try:
            yield
        finally:
            sessions.shared = None
        if shared.undone:
            raise StorageInternalError("one of several writes was refused: none was done")


def rdb_of(storage: BaseStorage) -> RDBStorage | None:
    """The database behind Optuna's cache; None for other storages."""
    inner = storage._backend if isinstance(storage, _CachedStorage) else storage
    return inner if isinstance(inner, RDBStorage) else None


def is_shared(session: Any) -> bool:
    """Whether a session of a storage belongs to a :func:`together`."""
    return isinstance(session, _Shared)


class _Sessions:
    """Sessions of a storage; inside :func:`together` the same one for everybody."""

    def __init__(self, own: "scoped_session[Session]") -> None:
        self._own = own
        self._of_thread = threading.local()

    @property
    def shared(self) -> "_Shared | None":
        found: _Shared | None = getattr(self._of_thread, "session", None)
        return found

    @shared.setter
    def shared(self, session: "_Shared | None") -> None:
        self._of_thread.session = session

    def __call__(self) -> Any:
        return self._own() if self.shared is None else self.shared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _Shared:
    """A session that is neither committed nor closed by those who share it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.undone = False

    def commit(self) -> None:
        """Others who share it see what was written; what they hold of it is read anew."""
        self._session.flush()
        self._session.expire_all()

    def rollback(self) -> None:
        """Nothing of the whole is written then."""
        self._session.rollback()
        self.undone = True

    def close(self) -> None:
        """At the end of all."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
