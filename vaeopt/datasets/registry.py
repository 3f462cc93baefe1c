"""Rendered scans by name; a family's module is imported when it is asked for."""

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest
from vaeopt.datasets.rendered import RenderedScan

__all__ = ["RENDERED", "render"]

RENDERED: tuple[str, ...] = ("ferroelectric-domains",)
"""names that :func:`render` knows"""


def render(name: str, *, seed: int = 0) -> RenderedScan:
    """Render the scan called ``name`` with the defaults of its family.

    Args:
        name: one of ``RENDERED``.
        seed: 0 or more; the same seed gives the same scan.

    Raises:
        DataError: no family of that name, or a negative seed.

    >>> render("ferroelectric-domains", seed=3).pixels.shape
    (256, 256)
    """
    if name == "ferroelectric-domains":
        from vaeopt.datasets.domains import render_domains  # SciPy is slow to import

        return render_domains(seed=seed)
    raise DataError(f"unknown rendered scan {name!r}", remedy=nearest(name, RENDERED))
