"""Several writes as one transaction: done together or not at all, and for the price of one."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.storage import _create_scoped_session

from vaeopt.study.storage.cached import CachedStorage
from vaeopt.study.storage.sessions import Sessions, Shared

__all__ = ["rdb_of", "together"]


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
    sessions = held if isinstance(held, Sessions) else Sessions(held)
    vars(rdb)["scoped_session"] = sessions
    if sessions.shared is not None:
        yield
        return
    noted = storage.together() if isinstance(storage, CachedStorage) else nullcontext()
    with noted, _create_scoped_session(held) as session:
        shared = Shared(session)
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
