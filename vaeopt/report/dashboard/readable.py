"""A few rules of style for optuna-dashboard's page, which it lacks."""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["readable"]

_Start = Callable[..., Any]
_App = Callable[[dict[str, Any], _Start], Iterable[bytes]]

# Attributes stand on one line each however long they are, which makes the page of a trial, and the
# paragraphs of its note, several screens wide. Tables of a note have no space between columns.
_STYLE = b"""<style>
main p.MuiTypography-body1 {
  white-space: normal; overflow-wrap: anywhere; max-height: 14em; overflow-y: auto;
}
main td, main th { padding: .25em .8em .25em 0; text-align: left; vertical-align: top; }
main img { max-width: 100%; }
</style></head>"""
# A browser that holds the page without them would be told that it is up to date.
_CONDITIONS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE")


def readable(app: _App) -> _App:
    """The same application; its page has our rules of style at the end of its head."""

    def styled(environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        page = environ.get("PATH_INFO", "").startswith("/dashboard")
        if not page or environ.get("REQUEST_METHOD") != "GET":
            return app(environ, start_response)
        for name in _CONDITIONS:
            environ.pop(name, None)
        answer: list[Any] = []
        parts = app(environ, lambda *given: answer.extend(given))
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers, *rest = answer
        body = body.replace(b"</head>", _STYLE, 1)
        length = [("Content-Length", str(len(body)))]
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, kept + length, *rest)
        return [body]

    return styled
