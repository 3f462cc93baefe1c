"""As much of a terminal as the progress lines need: what a person sees after so many bytes."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_PARTS = re.compile(r"\x1b\[(\d*)([A-Za-z])|([^\x1b])", re.S)


class Screen:
    """The rows that are seen; a text that is too long goes on in the next row, as it would."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0
        self.wrapped = 0
        """how often a text was too long"""
        self.styles: list[str] = []

    def feed(self, text: str) -> "Screen":
        """Do what these characters say; an escape that is not known is an error."""
        end = 0
        for found in _PARTS.finditer(text):
            assert found.start() == end, f"unknown: {text[end : found.end()]!r}"
            end = found.end()
            number, command, character = found.groups()
            if command == "A":
                self.row -= int(number or 1)
                assert self.row >= 0, "the cursor left the window"
            elif command == "J":
                self.rows = [*self.rows[: self.row], self.rows[self.row][: self.column]]
            elif command == "m":
                self.styles.append(number)
            elif command is not None:
                raise AssertionError(f"unknown: {found[0]!r}")
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self._down()
            else:
                self._put(character)
        assert end == len(text)
        return self

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self.wrapped += 1
            self._down()
            self.column = 0
        held = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = held[: self.column] + character + held[self.column + 1 :]
        self.column += 1


class Window:
    """A window of so many columns, and the stream that writes to it."""

    def __init__(self, leader: int, stream: TextIO) -> None:
        self._leader = leader
        self.stream = stream

    def resize(self, columns: int) -> None:
        """As when somebody drags its edge."""
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, size)

    def text(self) -> str:
        """What has been written since the last call."""
        self.stream.flush()
        os.set_blocking(self._leader, False)
        read = b""
        while True:
            try:
                read += os.read(self._leader, 65536)
            except OSError:
                return read.decode()


@contextmanager
def window(columns: int) -> Iterator[Window]:
    """A real pseudo-terminal."""
    leader, follower = pty.openpty()
    stream = os.fdopen(follower, "w")
    found = Window(leader, stream)
    found.resize(columns)
    try:
        yield found
    finally:
        stream.close()
        os.close(leader)
