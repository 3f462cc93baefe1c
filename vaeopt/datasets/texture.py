"""A negative control: one texture that is the same everywhere, so one building block.

What looks like clusters here is made by the method: by places on this or that flank of the same
wall, by windows that hold more or less of it, by a mixture that cuts a smooth cloud.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.seeds import derive
from vaeopt.datasets import patterns
from vaeopt.datasets.arguments import check_preset, check_ranges
from vaeopt.datasets.fields import inside, one_wavelength, wrapped
from vaeopt.datasets.instrument import background, measure
from vaeopt.datasets.places import steep_places
from vaeopt.datasets.rendered import RenderedScan

__all__ = ["NAME", "PRESETS", "SMALLEST_PX", "TexturePreset", "render_texture"]

NAME = "texture"
PIXEL_SIZE_NM = 2000 / 256
SMALLEST_PX = 64  # below this there are a handful of periods

Plane = NDArray[np.floating[Any]]
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TexturePreset:
    """One texture; a harder one has more of what is easily mistaken for classes."""

    class_name: str
    length_px: float
    """period, or distance between walls"""
    spacing_px: float
    """least distance between two places"""
    draw: Callable[[Shape, np.random.Generator], tuple[Plane, Plane | None]]
    """signed response, and the directions [rad] of a texture that has any"""


def _ripples(shape: Shape, rng: np.random.Generator) -> tuple[Plane, None]:
    """Ripples in all directions; without phase, flank or line to hold on to."""
    field = inside(one_wavelength(shape, _RIPPLE_PX, 0.12, rng), shape)
    return 0.55 + 0.13 * field, None


def _maze_of_walls(shape: Shape, rng: np.random.Generator) -> tuple[Plane, None]:
    """One maze of curved 180-degree walls, that of the rendered domain scans, everywhere."""
    drawn = patterns.walls(np.ones(shape, dtype=bool), rng)
    return drawn.response, None


def _aligned_stripes(shape: Shape, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Needle domains all over the image in one direction, drawn at random."""
    drawn = patterns.needles(np.ones(shape, dtype=bool), rng)
    return drawn.response, drawn.angle_rad


_RIPPLE_PX = 20.0

PRESETS: Mapping[str, TexturePreset] = MappingProxyType(
    {
        "easy": TexturePreset(
            class_name="ripples", length_px=_RIPPLE_PX, spacing_px=7.0, draw=_ripples
        ),
        "medium": TexturePreset(
            class_name="180-walls",
            length_px=patterns.LENGTHS_PX["wall_spacing"],
            spacing_px=4.5,
            draw=_maze_of_walls,
        ),
        "hard": TexturePreset(
            class_name="needles",
            length_px=patterns.LENGTHS_PX["needle_period"],
            spacing_px=8.5,
            draw=_aligned_stripes,
        ),
    }
)
"""difficulties by name"""


def render_texture(
    *,
    seed: int = 0,
    difficulty: str = "medium",
    size_px: int = 256,
    noise: float = 0.04,
    blur_px: float = 1.2,
) -> RenderedScan:
    """Render one texture; instrument and background are those of the rendered domain scans.

    Args:
        seed: 0 or more; the same seed gives the same scan bit for bit.
        difficulty: a key of ``PRESETS``, each another texture.
        size_px: edge of the square image [px], 64 or more.
        noise: standard deviation of the white noise per lock-in quadrature; 0 for none.
        blur_px: standard deviation of the tip's Gaussian [px], 0 or more.

    Returns:
        The scan: one class, everywhere. Stripes have their direction as angle and symmetry 2, the
        others have no angle: 0, and symmetry 0.

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_texture(seed=1, size_px=64)
    >>> scan.class_names, int(scan.class_map.max())
    (('180-walls',), 0)
    """
    check_preset(difficulty, PRESETS)
    check_ranges(seed=seed, size_px=size_px, smallest_px=SMALLEST_PX, noise=noise, blur_px=blur_px)
    preset, shape = PRESETS[difficulty], (size_px, size_px)
    response, angle = preset.draw(shape, _rng(seed, difficulty))
    response = response * background(shape, _rng(seed, "background"))
    pixels = measure(response, noise=noise, blur_px=blur_px, rng=_rng(seed, "instrument"))
    symmetry = 0 if angle is None else 2
    truth = np.zeros(shape, np.float32) if angle is None else wrapped(angle, symmetry)
    return RenderedScan(
        name=NAME,
        pixels=pixels.astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=np.zeros(shape, dtype=np.int16),
        class_names=(preset.class_name,),
        angle_rad=truth,
        symmetry=(symmetry,),
        lengths_px={"period": preset.length_px},
        length_px=preset.length_px,
        yx_px=steep_places(pixels, sigma_px=1.5, spacing_px=preset.spacing_px),
        difficulty=difficulty,
    )


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))
