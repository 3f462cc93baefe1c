"""What is shown while a truth benchmark trains: a line that moves, or lines that stay."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vaeopt.report.screen import Line, Screen, bar, moves
from vaeopt.study.results.status import about
from vaeopt.truth import Row

__all__ = ["GridTerminal", "grid_terminal"]

_EVERY_S = 60.0
_BAR = 40


class GridTerminal:
    """Trainings that are finished, and the time left.

    On a terminal one line is written again; elsewhere a line is added every minute.
    """

    def __init__(self, *, quiet: bool, what: str = "trainings") -> None:
        self._quiet = quiet
        self._what = what
        self._screen = Screen(sys.stderr) if not quiet and moves(sys.stderr) else None
        self._done = self._total = self._earlier = 0
        self._start = self._said = time.monotonic()
        self._collapsed = 0
        self._scene = ""

    def preparing(self, done: int, total: int) -> None:
        """Show how many scenes are ready."""
        if self._screen is not None:
            self._screen.show([Line(f"scenes {done}/{total} ready")])

    def started(self, done: int, total: int) -> None:
        """Show how far the benchmark is; trainings of earlier starts count."""
        self._done, self._total, self._earlier = done, total, done
        self._start = time.monotonic()
        if self._screen is not None:
            self._draw(now=True)
        elif not self._quiet:
            self._say(f"{done} of {total} {self._what} are finished")

    def note(self, line: str) -> None:
        """Above the line that moves."""
        if not self._quiet:
            self._say(line)

    def finished(self, scene: str, row: Row) -> None:
        """Advance."""
        self._done += 1
        self._scene = scene
        self._collapsed += not row.feasible
        if self._screen is not None:
            self._draw()
        elif not self._quiet and (
            self._done == self._total or time.monotonic() - self._said >= _EVERY_S
        ):
            self._say(self._text(0))

    def close(self) -> None:
        """Leave the cursor below what is shown."""
        if self._screen is None:
            return
        if self._total:
            self._draw(now=True)
        self._screen.close()

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        if self._screen is not None:
            self._screen.say(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _draw(self, *, now: bool = False) -> None:
        assert self._screen is not None
        self._screen.show([Line(self._text(self._screen.columns))], now=now)

    def _text(self, columns: int) -> str:
        """``trainings 12/50 [####....] 24%, about 6 min left, now cards-medium-1, 3 collapsed``."""
        share = min(1.0, self._done / max(1, self._total))
        head, tail = f"{self._what} {self._done}/{self._total}", f"{100 * share:.0f}%"
        fresh = self._done - self._earlier
        if fresh and self._done < self._total:
            passed = time.monotonic() - self._start
            tail += f", about {about(passed / fresh * (self._total - self._done))} left"
        for more in (self._scene, f"{self._collapsed} collapsed" if self._collapsed else ""):
            if more and (not columns or len(f"{head} {tail}, {more}") <= columns):
                tail += f", {more}"
        drawn = bar(share, min(_BAR, columns - len(head) - len(tail) - 2))
        return " ".join(filter(None, [head, drawn, tail]))


@contextmanager
def grid_terminal(*, quiet: bool = False, what: str = "trainings") -> Iterator[GridTerminal]:
    """A display that is closed whatever happens."""
    display = GridTerminal(quiet=quiet, what=what)
    try:
        yield display
    finally:
        display.close()
