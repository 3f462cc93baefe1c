"""Data to try things on: rendered scans with known truth, and named real scans.

``render(name)`` makes an image whose building blocks and orientations are known at every pixel;
``fetch(name)`` gives the path of a published scan. A new family of rendered scans is one file and
one line in :mod:`vaeopt.datasets.registry`.
"""

from vaeopt.datasets.named import NAMED_SCANS, NamedScan, fetch
from vaeopt.datasets.registry import RENDERED, difficulties, render
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

__all__ = [
    "AMBIGUOUS",
    "NAMED_SCANS",
    "RENDERED",
    "NamedScan",
    "RenderedScan",
    "difficulties",
    "fetch",
    "render",
]
