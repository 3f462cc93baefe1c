"""The last lines of a terminal, written again and again; what else is said stands above."""

import math
import os
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

__all__ = ["Line", "Screen", "bar", "cut", "fill", "moves", "width"]

_EVERY_S = 0.1
_PLAIN_COLUMNS = 80
_STYLES = {"": "", "bold": "\x1b[1m", "dim": "\x1b[2m"}


class Line(NamedTuple):
    """One line and how it looks."""

    text: str
    style: str = ""
    """``bold``, ``dim`` or nothing; nothing where the environment has ``NO_COLOR``"""


def moves(stream: TextIO) -> bool:
    """Whether lines of a stream can be written again: a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width(text: str) -> int:
    """Columns that a text takes: two for a wide character, none for an accent of its own.

    >>> width("gain"), width("漢字")
    (4, 4)
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def cut(text: str, columns: int) -> str:
    """As much of a text as fits; what was cut off is told by two dots.

    >>> cut("trial 13: epoch 4/120", 12)
    'trial 13: ..'
    """
    text = "".join(c if c.isprintable() else " " for c in text)  # no line breaks, no escapes
    if width(text) <= columns:
        return text
    kept = ""
    for c in text:
        if width(kept + c) > columns - 2:
            break
        kept += c
    return (kept + "..")[: max(0, columns)]


def fill(pieces: Iterable[str], columns: int, *, most: int, sign: str = "; ") -> list[str]:
    """Pieces side by side as far as they fit, then on the next line, at the most so many lines.

    >>> fill(["best #4: gain 1.41", "2 collapsed", "1 failed"], 34, most=2)
    ['best #4: gain 1.41; 2 collapsed', '1 failed']
    """
    lines: list[str] = []
    for piece in pieces:
        if lines and width(lines[-1] + sign + piece) <= columns:
            lines[-1] += sign + piece
        elif len(lines) < most:
            lines.append(piece)
    return [cut(line, columns) for line in lines]


def bar(share: float, columns: int) -> str:
    """A bar of so many columns; nothing where there is no room for one.

    >>> bar(0.5, 12)
    '[#####.....]'
    """
    if columns < 7:
        return ""
    full = math.floor(min(1.0, max(0.0, share)) * (columns - 2))
    return f"[{'#' * full}{'.' * (columns - 2 - full)}]"


class Screen:
    """Lines at the bottom of a terminal.

    The cursor stays at their end, and is never hidden: whatever ends the program leaves it there.

    Args:
        stream: a terminal (:func:`moves`).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = not os.environ.get("NO_COLOR")
        self._drawn: list[str] = []
        self._last = -math.inf

    @property
    def columns(self) -> int:
        """Columns that may be used now; the last one stays free, as some terminals wrap there."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError, AttributeError):
            columns = 0
        return max(1, (columns or _PLAIN_COLUMNS) - 1)

    def show(self, lines: Sequence[Line], *, now: bool = False) -> None:
        """Put these in the place of the lines that are there.

        Args:
            lines: each shorter than :attr:`columns`, or it is cut.
            now: also if others were shown less than a tenth of a second ago.
        """
        if not now and time.monotonic() - self._last < _EVERY_S:
            return
        self._last = time.monotonic()
        columns = self.columns
        texts = [cut(line.text, columns) for line in lines]
        painted = [self._painted(t, one.style) for t, one in zip(texts, lines, strict=True)]
        self._write(self._back(columns) + "\n".join(painted))
        self._drawn = texts

    def say(self, text: str) -> None:
        """A line that stays, above the others."""
        drawn, columns = self._drawn, self.columns
        self._write(f"{self._back(columns)}{text}\n" + "\n".join(cut(t, columns) for t in drawn))

    def close(self) -> None:
        """Leave what is shown and put the cursor below it."""
        if self._drawn:
            self._write("\n")
        self._drawn = []

    def _painted(self, text: str, style: str) -> str:
        code = _STYLES[style]
        return f"{code}{text}\x1b[0m" if code and self._colours else text

    def _back(self, columns: int) -> str:
        """To the first column of the first line, and clear from there on."""
        if not self._drawn:
            return ""
        # A window that has become narrower has wrapped what stood there.
        rows = sum(max(1, math.ceil(width(text) / (columns + 1))) for text in self._drawn)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
