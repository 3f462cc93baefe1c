"""Rendered scans by name; a family's module is imported when it is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest
from vaeopt.datasets.rendered import RenderedScan

__all__ = ["RENDERED", "difficulties", "render"]

# Module and function of each family. SciPy is slow to import, and few programs need any of them.
_FAMILIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ferroelectric-domains": ("domains", "render_domains"),
        "cards": ("cards", "render_cards"),
        "lattice": ("lattice", "render_lattice"),
        "defects": ("defects", "render_defects"),
        "texture": ("texture", "render_texture"),
        "noise": ("noise", "render_noise"),
    }
)

RENDERED: tuple[str, ...] = tuple(_FAMILIES)
"""names that :func:`render` knows"""


def render(name: str, *, seed: int = 0, difficulty: str = "medium") -> RenderedScan:
    """Render the scan called ``name``.

    Args:
        name: one of ``RENDERED``.
        seed: 0 or more; the same seed gives the same scan.
        difficulty: one of the presets that :func:`difficulties` lists.

    Raises:
        DataError: no family of that name, no such preset, or a negative seed.

    >>> render("ferroelectric-domains", seed=3).pixels.shape
    (256, 256)
    >>> render("ferroelectric-domains", difficulty="hard").difficulty
    'hard'
    """
    known = difficulties(name)
    if difficulty not in known:
        raise DataError(
            f"{name!r} has no preset {difficulty!r}",
            setting="image.difficulty",
            remedy=nearest(difficulty, known),
        )
    renderer: Callable[..., RenderedScan] = getattr(_module(name), _FAMILIES[name][1])
    return renderer(seed=seed, difficulty=difficulty)


def difficulties(name: str) -> tuple[str, ...]:
    """Names of the presets of a family, in its own order; ``"medium"`` is always among them.

    Args:
        name: one of ``RENDERED``.

    Raises:
        DataError: no family of that name.

    >>> difficulties("texture")
    ('easy', 'medium', 'hard')
    """
    return tuple(_module(name).PRESETS)


def _module(name: str) -> ModuleType:
    """The module of a family, which has ``PRESETS`` by name and a function that renders."""
    if name not in _FAMILIES:
        raise DataError(f"unknown rendered scan {name!r}", remedy=nearest(name, RENDERED))
    return import_module(f"vaeopt.datasets.{_FAMILIES[name][0]}")
