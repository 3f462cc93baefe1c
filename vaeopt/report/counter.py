"""A bar for work that is counted, in trials or in files."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["counter"]


@contextmanager
def counter(text: str, unit: str = "trial") -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, total) and shows it, on a terminal only."""
    with tqdm(desc=text, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

        def told(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield told
