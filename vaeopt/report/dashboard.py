"""optuna-dashboard on the storage and the artefacts of a study."""

import ipaddress
import socket
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from vaeopt.core.errors import StudyError
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.storage import open_storage

__all__ = ["serve"]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # name of the base
        """One line per request is noise."""


# One thread per request: a browser's idle connection must not block the next one, and wsgiref
# would swallow a Ctrl-C that comes while it answers.
class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def serve(url: str, artefacts: Artefacts, *, host: str, port: int) -> int:
    """Serve until Ctrl-C; prints the address first.

    Raises:
        StudyError: the port is taken.
    """
    from optuna_dashboard import wsgi

    app = wsgi(
        storage=open_storage(url),
        artifact_store=artefacts,
    )
    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_Silent)
    except (OSError, socket.gaierror, OverflowError) as error:
        raise StudyError(
            f"cannot listen on {host}:{port}: {error}", remedy="choose another --port"
        ) from error
    with server:
        if not _loopback(host):
            print(
                "vaeopt: warning: everybody who reaches this address can change and delete the "
                "study",
                file=sys.stderr,
            )
        print(
            f"dashboard on http://{host}:{server.server_port}/dashboard/  (Ctrl-C ends it)",
            flush=True,
        )
        server.serve_forever()
    return 0


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
