"""What trials of one study share: key points, and the patches of each window and pose."""

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

    def __init__(self, size: int = 64, most_bytes: int = 2**29) -> None:
        self._size = size
        self._most_bytes = most_bytes
        self._held: OrderedDict[tuple[str, ...], object] = OrderedDict()

    def get(
        self,
        stage: str,
        settings: tuple[Settings | int | str, ...],
        make: Callable[[], T],
        *,
        most_bytes: int | None = None,
    ) -> T:
        """The result for these settings, made now if it is not held.

        Args:
            stage: whose result it is.
            settings: that decide it.
            make: called if it is not held.
            most_bytes: of the arrays of this stage, if it has a limit of its own.
        """
        key = (stage, *(repr(s) for s in settings))
        if key not in self._held:
            self._held[key] = make()
            while len(self._held) > self._size:
                self._held.popitem(last=False)
            self._forget_large(stage, self._most_bytes if most_bytes is None else most_bytes)
        self._held.move_to_end(key)
        return self._held[key]  # type: ignore[return-value]  # made by ``make`` for this key

    def _forget_large(self, stage: str, most_bytes: int) -> None:
        sizes = {key: _bytes(held) for key, held in self._held.items() if key[0] == stage}
        *older, _ = sizes  # the newest is about to be used
        for key in older:
            if sum(sizes.values()) <= most_bytes:
                break
            del self._held[key], sizes[key]


def _bytes(result: object) -> int:
    fields = getattr(result, "__dict__", {}).values()
    return sum(array.nbytes for array in fields if isinstance(array, np.ndarray))
