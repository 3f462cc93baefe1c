"""Data to try things on: rendered scans with known truth, and named real scans.

``render(name)`` makes an image whose building blocks and orientations are known at every pixel;
``fetch(name)`` gives the path of a published scan; ``reference(name)`` a published scan with key
points whose classes are derived from the data, or from what its authors have marked. A new family
of rendered scans is one file and one line in :mod:`vaeopt.datasets.registry`.
"""

from vaeopt.datasets.derived import REFERENCES, reference
from vaeopt.datasets.named import NAMED_SCANS, NamedScan, fetch
from vaeopt.datasets.reference import ReferenceScan
from vaeopt.datasets.registry import RENDERED, difficulties, render
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan
from vaeopt.datasets.table import write_keypoints

__all__ = [
    "AMBIGUOUS",
    "NAMED_SCANS",
    "REFERENCES",
    "RENDERED",
    "NamedScan",
    "ReferenceScan",
    "RenderedScan",
    "difficulties",
    "fetch",
    "reference",
    "render",
    "write_keypoints",
]
