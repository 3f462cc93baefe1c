"""Who does what in the spatial decoder: equal shares of the tiles for all programs of a launch."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Segment", "Shares", "share_out", "split"]

_TILES = 8  # of an item, at most: larger ones would be hard to share out equally
_ITEMS = 2  # of a program, at least, where there are so many


class Segment(NamedTuple):
    """Neighbouring items of one member, done by one program."""

    member: int
    first: int
    items: int
    slot: int
    """where the program leaves the slopes of the weights"""


class Shares(NamedTuple):
    """All segments, and which of them are whose."""

    first_segment: list[int]
    """(programs + 1)"""
    segments: list[Segment]
    """slots of a member follow each other"""


def split(tiles: Sequence[int], groups: int, programs: int) -> list[int]:
    """Into how many items the pixels of a group of patches are cut, for every member.

    As few as keep all programs busy: every item leaves slopes of its own for the poses.

    Args:
        tiles: along the pixels of each member.
        groups: of patches, of every member.
        programs: how many there are.

    >>> split([11], groups=64, programs=132), split([1, 25] * 9, groups=64, programs=132)
    ([6], [1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 4])
    """
    for largest in range(_TILES, 0, -1):
        found = [-(-n // largest) for n in tiles]
        if groups * sum(found) >= _ITEMS * programs:
            break
    return found


def share_out(items: Sequence[int], costs: Sequence[int], programs: int) -> Shares:
    """Cut the row of all items into pieces that take equally long.

    Args:
        items: of each member; they differ by member only.
        costs: of an item of each member, say its tiles.
        programs: how many pieces.

    Returns:
        At most ``programs + len(items) - 1`` segments.

    >>> share_out([4, 2], [1, 2], programs=2).segments
    [Segment(member=0, first=0, items=4, slot=0), Segment(member=1, first=0, items=2, slot=1)]
    """
    total = sum(n * cost for n, cost in zip(items, costs, strict=True))
    first_segment, segments = [0], list[Segment]()
    member = first = done = 0
    for program in range(programs):
        limit = total * (program + 1) / programs
        while member < len(items):
            left, cost = items[member] - first, costs[member]
            # An item belongs to the piece that its middle is in.
            wanted = max(0, int((limit - done) / cost + 0.5)) if cost else left
            n = left if program == programs - 1 else min(left, wanted)
            if n:
                segments.append(Segment(member, first, n, len(segments)))
                first, done = first + n, done + n * cost
            if first < items[member]:
                break
            member, first = member + 1, 0
        first_segment.append(len(segments))
    return Shares(first_segment, segments)
