"""Optuna's gRPC proxy: one process near the database speaks to it for all that cannot reach it."""

import importlib.util
import ipaddress
from collections.abc import Callable

from optuna.storages._grpc.server import make_server

from vaeopt.core.errors import StudyError
from vaeopt.study.storage import open_storage, shown_url

__all__ = ["serve"]


def serve(url: str, *, host: str, port: int, ready: Callable[[str, bool], None]) -> None:
    """Serve a storage until Ctrl-C. There is no password: whoever reaches the port may write.

    Args:
        url: of the storage.
        host: address to listen on.
        port: number to listen on.
        ready: told the URL to give to others, and whether other machines can reach it.

    Raises:
        StudyError: grpcio is missing, the storage cannot be served, or the port is taken.
    """
    if importlib.util.find_spec("grpc") is None:
        raise StudyError("the proxy needs grpcio", remedy='pip install "vaeopt[cluster]"')
    if url.startswith("grpc:"):
        raise StudyError(
            f"{shown_url(url)} is a proxy itself",
            setting="optuna.storage",
            remedy="give the storage behind it",
        )
    server = make_server(open_storage(url, create=True), host, port)
    try:
        server.start()
    except RuntimeError as error:
        raise StudyError(
            f"cannot listen on {host}:{port}: {error}", remedy="choose another --port"
        ) from error
    ready(f"grpc://{host}:{port}", not _loopback(host))
    try:
        server.wait_for_termination()
    finally:
        server.stop(grace=1).wait()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
