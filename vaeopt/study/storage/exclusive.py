"""One process at a time, of all that share a storage: for what Optuna does in several steps."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage

__all__ = ["exclusive"]

_held = threading.local()


@contextmanager
def exclusive(storage: BaseStorage) -> Iterator[None]:
    """Keep other processes out of this block until it ends, or until this process does.

    Trials are counted, claimed and signed within it. A block may stand within another one.

    Args:
        storage: of the study.
    """
    file = _lock_file(storage)
    depths: dict[Path, int] = _held.__dict__.setdefault("depths", {})
    if file is None or depths.get(file, 0):
        yield
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # freed by the kernel, however the process ends
        depths[file] = 1
        yield
    finally:
        depths.pop(file, None)
        os.close(descriptor)


def _lock_file(storage: BaseStorage) -> Path | None:
    backend = storage._backend if isinstance(storage, _CachedStorage) else storage
    if not isinstance(backend, RDBStorage):
        return None
    url = backend.engine.url
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(f"{Path(url.database).resolve()}.lock")
