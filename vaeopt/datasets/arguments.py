"""Arguments that several families of rendered scans share, refused before any work."""

from collections.abc import Iterable

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest

__all__ = ["check_preset", "check_ranges"]


def check_preset(difficulty: str, known: Iterable[str]) -> None:
    """Refuse a preset that the family does not have.

    Raises:
        DataError: names the known ones.
    """
    known = tuple(known)
    if difficulty not in known:
        raise DataError(
            f"no preset {difficulty!r}", setting="difficulty", remedy=nearest(difficulty, known)
        )


def check_ranges(*, seed: int, size_px: int, smallest_px: int, **not_negative: float) -> None:
    """Refuse what cannot be rendered.

    Args:
        seed: 0 or more.
        size_px: ``smallest_px`` or more.
        smallest_px: below it the family has no room for what it shows.
        **not_negative: finite and 0 or more, by the name of the argument.

    Raises:
        DataError: names the argument.
    """
    if seed < 0:
        raise DataError(f"must be 0 or more, got {seed}", setting="seed")
    if size_px < smallest_px:
        raise DataError(f"must be {smallest_px} or more, got {size_px}", setting="size_px")
    for setting, value in not_negative.items():
        if not (np.isfinite(value) and value >= 0):
            raise DataError(f"must be finite and 0 or more, got {value}", setting=setting)
