"""optuna-dashboard on the storage and the artefacts of a study, until Ctrl-C."""

import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from contextlib import nullcontext
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna

from vaeopt.core.errors import StudyError
from vaeopt.core.secrets import masked
from vaeopt.report.dashboard.corrections import correct
from vaeopt.report.dashboard.note import save_note, study_note
from vaeopt.report.dashboard.readable import readable
from vaeopt.report.dashboard.refresh import Refresher, in_one_line
from vaeopt.study.artefacts.store import artefacts_of
from vaeopt.study.file import StudyFile
from vaeopt.study.storage import load_study, open_storage, storage_url

__all__ = ["serve"]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # name of the base
        """One line per request is noise."""


# One thread per request: a browser's idle connection must not block the next one, and wsgiref
# would swallow a Ctrl-C that comes while it answers.
class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(
    file: StudyFile,
    *,
    storage: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    figures: bool = True,
    browse: bool = False,
) -> int:
    """Serve until Ctrl-C; prints the address of the study's page first.

    Args:
        file: of the study.
        storage: URL; that of the study file if left out.
        host: to listen at.
        port: the same; 0 for any that is free.
        figures: save figures and a note into the study, and keep the figures up to date; else
            nothing is written.
        browse: open the page in a browser, if there is one.

    Raises:
        StudyError: there is no such study, or the port is taken.
    """
    from optuna_dashboard import wsgi

    study = load_study(file, storage)
    shared = open_storage(storage_url(file, storage))
    unknown = correct(shared)
    if unknown is not None:
        _say(f"warning: {unknown}")
    app = readable(wsgi(storage=shared, artifact_store=artefacts_of(file)))
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, app, server_class=kind, handler_class=_Silent)
    except (OSError, socket.gaierror, OverflowError) as error:
        raise StudyError(
            f"cannot listen on {host}:{port}: {error}",
            remedy="choose another --port, or --port 0 for any that is free",
        ) from error
    with server:
        if not _loopback(host):
            _say("warning: everybody who reaches this address can change and delete the study")
        if figures:
            _save_note(file, study)
        place = f"[{host}]" if ":" in host else host
        address = f"http://{place}:{server.server_port}/dashboard/studies/{study._study_id}"
        print(f"dashboard on {address}  (Ctrl-C ends it)", flush=True)
        if browse:
            threading.Thread(target=_browse, args=(address,), daemon=True).start()
        with Refresher(file, storage, _say) if figures else nullcontext():
            server.serve_forever()
    return 0


def _save_note(file: StudyFile, study: optuna.Study) -> None:
    try:
        save_note(study, study_note(file, study))
    except Exception as error:  # whatever it is, the study can be looked at
        _say(f"the note is not saved: {in_one_line(error)}")


def _say(line: str) -> None:
    print(masked(f"vaeopt: {line}"), file=sys.stderr, flush=True)


def _browse(address: str) -> None:
    """Never a browser of the terminal, which would take it away."""
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        opened = screen and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        _say(f"no browser could be opened; open {address} yourself")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
