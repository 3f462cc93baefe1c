"""optuna-dashboard on the storage and the artefacts of a study."""

import socket
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from optuna.artifacts import FileSystemArtifactStore

from vaeopt.core.errors import StudyError

__all__ = ["serve"]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # name of the base
        """One line per request is noise."""


def serve(url: str, artefacts: Path, *, host: str, port: int) -> int:
    """Serve until Ctrl-C; prints the address first.

    Raises:
        StudyError: the port is taken.
    """
    import optuna
    from optuna_dashboard import wsgi

    artefacts.mkdir(parents=True, exist_ok=True)
    app = wsgi(
        storage=optuna.storages.get_storage(url),
        artifact_store=FileSystemArtifactStore(base_path=artefacts),
    )
    try:
        server = make_server(host, port, app, handler_class=_Silent)
    except (OSError, socket.gaierror, OverflowError) as error:
        raise StudyError(
            f"cannot listen on {host}:{port}: {error}", remedy="choose another --port"
        ) from error
    with server:
        print(
            f"dashboard on http://{host}:{server.server_port}/dashboard/  (Ctrl-C ends it)",
            flush=True,
        )
        server.serve_forever()
    return 0
