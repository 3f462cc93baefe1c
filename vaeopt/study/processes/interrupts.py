"""Ctrl-C and SIGTERM kept until what is being stored is stored."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deferred"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[None]:
    """Handle the first signal at the end of the block; a second one at once.

    An exception from within a transaction would leave the database locked for as long as the
    process takes to end, and a trial half stored. In other threads than the main one, which never
    handle signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # Only handlers in Python raise: what a signal does without one, it does at once.
    ours = {number: handler for number, handler in before.items() if callable(handler)}

    def later(number: int, frame: FrameType | None) -> None:
        if waiting:
            ours[signal.Signals(number)](number, frame)
        else:
            waiting.append((number, frame))

    for caught in ours:
        signal.signal(caught, later)
    try:
        yield
    finally:
        for caught, handler in ours.items():
            signal.signal(caught, handler)
        for number, frame in waiting:
            ours[signal.Signals(number)](number, frame)
