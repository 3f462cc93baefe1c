"""Optuna's gRPC proxy: one process near the database speaks to it for all that cannot reach it."""

import importlib.util
import ipaddress
import threading
from collections.abc import Callable

from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage

from vaeopt.core.errors import StudyError

__all__ = ["serve"]


def serve(
    storage: BaseStorage,
    *,
    host: str,
    port: int,
    ready: Callable[[str, bool], None],
    until: threading.Event | None = None,
) -> None:
    """Serve a storage until Ctrl-C. There is no password: whoever reaches the port may write.

    Args:
        storage: an open one.
        host: address to listen on.
        port: number to listen on.
        ready: told the URL to give to others, and whether other machines can reach it.
        until: ends it too, when it is set.

    Raises:
        StudyError: grpcio is missing, the storage cannot be served, or the port is taken.
    """
    if importlib.util.find_spec("grpc") is None:
        raise StudyError("the proxy needs grpcio", remedy='pip install "vaeopt[cluster]"')
    if isinstance(storage, GrpcStorageProxy | JournalStorage):
        kind = "a proxy itself" if isinstance(storage, GrpcStorageProxy) else "a journal"
        raise StudyError(
            f"the storage is {kind}, which Optuna's proxy does not serve",
            setting="optuna.storage",
            remedy="give the URL of a database",
        )
    from optuna.storages._grpc.server import make_server

    try:
        server = make_server(storage, host, port)
        server.start()
    except RuntimeError as error:
        raise StudyError(
            f"cannot listen on {host}:{port}", remedy="choose another --port or --host"
        ) from error
    try:
        ready(f"grpc://{host}:{port}", not _loopback(host))
        (until or threading.Event()).wait()
    finally:
        server.stop(grace=1).wait()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
