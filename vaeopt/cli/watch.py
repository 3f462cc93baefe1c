"""A study looked at again and again until it is finished."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vaeopt.cli.answer import as_json as in_json

if TYPE_CHECKING:
    from vaeopt.study.results.status import Status

__all__ = ["watch"]


def watch(
    look: "Callable[[], Status]",
    *,
    head: Sequence[str],
    every_s: float,
    as_json: bool,
    storage: str,
) -> None:
    """Print what is seen, on a terminal always in the same place, until the study is finished.

    Elsewhere one line for each look at which something has changed. A storage that cannot be
    reached for a while is waited for.

    Args:
        look: at the study.
        head: lines that do not change.
        every_s: time between two looks.
        as_json: one document per look and line; that a storage is away stands on stderr.
        storage: its URL without a password.
    """
    from vaeopt.report.screen import Line, Screen, moves
    from vaeopt.study.results.status import lines_of
    from vaeopt.study.storage import StorageError

    screen = Screen(sys.stdout) if moves(sys.stdout) and not as_json else None
    said = ""
    try:
        while True:
            found: Status | None = None
            try:
                found = look()
                lines = lines_of(found)
                text = _short(lines)
            except StorageError as error:
                lines, text = [str(error)], str(error)
            if screen is not None:
                screen.show([Line(line) for line in (*head, *lines)], now=True)
            elif as_json and found is not None:
                print(in_json({**found.to_table(), "storage": storage}, indent=None), flush=True)
                said = ""
            elif text != said:  # stdout is for documents where they are asked for
                print(text, file=sys.stderr if as_json else sys.stdout, flush=True)
                said = text
            if found is not None and found.done:
                return
            time.sleep(every_s)
    finally:
        if screen is not None:
            screen.close()


def _short(lines: Sequence[str]) -> str:
    """The counts, the time that is left and the best trial in one line."""
    of: dict[str, str] = {}
    for line in lines:
        what, _, text = line.partition(" ")
        of.setdefault(what, text.strip())
    return "; ".join(of[what] for what in ("trials", "time", "best") if what in of)
