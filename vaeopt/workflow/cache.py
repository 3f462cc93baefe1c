"""What trials of one study share: key points, and the patches of each window."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from vaeopt.core.settings import Settings

__all__ = ["StageCache"]

T = TypeVar("T")


class StageCache:
    """Results of deterministic stages, the least recently used forgotten first.

    Keys are settings alone: one cache serves one image and one study folder.
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._held: OrderedDict[tuple[str, ...], object] = OrderedDict()

    def get(self, stage: str, settings: tuple[Settings | int, ...], make: Callable[[], T]) -> T:
        """The result for these settings, made now if it is not held."""
        key = (stage, *(repr(s) for s in settings))
        if key not in self._held:
            self._held[key] = make()
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]  # type: ignore[return-value]  # made by ``make`` for this key
