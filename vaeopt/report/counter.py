"""A bar for work that is counted in trials."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["counter"]


@contextmanager
def counter(text: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, total) and shows it, on a terminal only."""
    with tqdm(desc=text, unit="trial", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

        def told(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield told
