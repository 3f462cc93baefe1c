"""What trials of one study share: key points, and the patches of each window."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from vaeopt.core.settings import Settings

__all__ = ["StageCache"]

T = TypeVar("T")


class StageCache:
    """Results of deterministic stages, the least recently used forgotten first.

    Keys are settings alone: one cache serves one image and one study folder.

    Args:
        size: most results that are held.
        most_bytes: most memory of the arrays of one stage, unless a single result is larger.
    """

    def __init__(self, size: int = 16, most_bytes: int = 2**29) -> None:
        self._size = size
        self._most_bytes = most_bytes
        self._held: OrderedDict[tuple[str, ...], object] = OrderedDict()

    def get(self, stage: str, settings: tuple[Settings | int, ...], make: Callable[[], T]) -> T:
        """The result for these settings, made now if it is not held."""
        key = (stage, *(repr(s) for s in settings))
        if key not in self._held:
            self._held[key] = make()
            while len(self._held) > self._size:
                self._held.popitem(last=False)
            self._forget_large(stage)
        self._held.move_to_end(key)
        return self._held[key]  # type: ignore[return-value]  # made by ``make`` for this key

    def _forget_large(self, stage: str) -> None:
        sizes = {key: _bytes(held) for key, held in self._held.items() if key[0] == stage}
        *older, _ = sizes  # the newest is about to be used
        for key in older:
            if sum(sizes.values()) <= self._most_bytes:
                break
            del self._held[key], sizes[key]


def _bytes(result: object) -> int:
    fields = getattr(result, "__dict__", {}).values()
    return sum(array.nbytes for array in fields if isinstance(array, np.ndarray))
