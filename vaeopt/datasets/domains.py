"""A rendered PFM amplitude scan of ferroelectric domains, with known truth.

Grains of a film, each filled with one of four building blocks of a domain pattern at its own
orientation: wide a/c stripes, fine needles, a herringbone of two lamella variants, and single
curved 180-degree walls between c domains. The signed piezoresponse is rendered first and blurred by
the tip while it still has its sign, so that the amplitude vanishes at a 180-degree wall for the
reason it does in the instrument; noise is added to the two quadratures of the lock-in.

Sources: Gruverman, Alexe and Meier, Nature Communications 10, 1661 (2019) for the contrast of PFM;
the real thick-film scan ``pzt-2um`` of :mod:`vaeopt.datasets.named` as the model for the patterns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.core.seeds import derive
from vaeopt.datasets import patterns
from vaeopt.datasets.arguments import check_preset, check_ranges
from vaeopt.datasets.fields import wrapped
from vaeopt.datasets.grains import (
    distance_to_boundary,
    kinds_by_area,
    likes_apart,
    voronoi_grains,
)
from vaeopt.datasets.instrument import Drift, background, measure, wear
from vaeopt.datasets.places import steep_places
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

__all__ = [
    "CLASS_NAMES",
    "LENGTHS_PX",
    "NAME",
    "PRESETS",
    "SMALLEST_PX",
    "SYMMETRY",
    "DomainsPreset",
    "render_domains",
]

NAME = "ferroelectric-domains"
CLASS_NAMES = tuple(patterns.PATTERNS)
_WALLS = CLASS_NAMES.index("180-walls")

# Stripes have a steep and a gentle flank, so only a full turn brings them back. The others have
# two-fold axes: needles and walls everywhere, the herringbone in the middle of each band.
SYMMETRY = (1, 2, 2, 2)
"""of amplitudes that do not tell up from down; with ``polarity``, walls have order 1"""

LENGTHS_PX: Mapping[str, float] = MappingProxyType(
    {"grain_diameter": 66.0, **patterns.LENGTHS_PX, "boundary_margin": 5.0}
)
"""those of medium scans; the grains of other presets have the diameter of the preset"""

# Share of the area: patterns with many edges per area get less of it, so that no class is rare
# among key points.
AREA_SHARE = (0.28, 0.20, 0.20, 0.32)

PIXEL_SIZE_NM = 2000 / 256
SMALLEST_PX = 128  # below this a class would have to do with a single small grain

Plane = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class DomainsPreset:
    """How difficult a scan is."""

    noise: float
    """standard deviation of the white noise per lock-in quadrature; bright domains have 1"""
    blur_px: float
    """standard deviation of the tip's Gaussian"""
    grain_diameter_px: float = LENGTHS_PX["grain_diameter"]
    likes_apart: bool = False
    """grains of one class are kept from touching each other as far as that is possible"""
    polarity: float = 0.0
    """electrostatic offset: up domains look brighter by it, down domains darker; every grain
    of stripes, needles or herringbone then points up or down at random"""
    drift_px: float = 0.0
    """standard deviation of the displacement of rows along each axis"""
    streaks: int = 0
    """of the tip, per 256 rows"""


PRESETS: Mapping[str, DomainsPreset] = MappingProxyType(
    {
        "easy": DomainsPreset(noise=0.02, blur_px=0.9, grain_diameter_px=80.0),
        "medium": DomainsPreset(noise=0.04, blur_px=1.2),
        "hard": DomainsPreset(noise=0.08, blur_px=1.6, polarity=0.12, drift_px=4.0, streaks=24),
        "mixed": DomainsPreset(noise=0.04, blur_px=1.2, grain_diameter_px=40.0, likes_apart=True),
    }
)
"""difficulties by name"""


def render_domains(
    *,
    seed: int = 0,
    difficulty: str = "medium",
    size_px: int = 256,
    noise: float | None = None,
    blur_px: float | None = None,
) -> RenderedScan:
    """Render one scan; the truth does not depend on ``noise`` and ``blur_px``.

    Args:
        seed: 0 or more; the same seed gives the same scan bit for bit.
        difficulty: a key of ``PRESETS``.
        size_px: edge of the square image [px], 128 or more. Patterns keep their size in pixels.
        noise: standard deviation of the white noise per lock-in quadrature, where bright domains
            have response 1; line offsets and faint streaks of the slow axis scale with it, 0
            switches all of them off. That of the difficulty if left out.
        blur_px: standard deviation of the tip's Gaussian [px], 0 or more; that of the difficulty
            if left out.

    Returns:
        The scan; classes are ``CLASS_NAMES``, with ``class_map`` -1 near grain boundaries and, in
        a grain of 180-degree walls, far from any of them.

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_domains(seed=1, size_px=128)
    >>> scan.pixels.shape, scan.class_names[int(scan.class_map.max())]
    ((128, 128), '180-walls')
    """
    check_preset(difficulty, PRESETS)
    preset = PRESETS[difficulty]
    noise = preset.noise if noise is None else noise
    blur_px = preset.blur_px if blur_px is None else blur_px
    check_ranges(seed=seed, size_px=size_px, smallest_px=SMALLEST_PX, noise=noise, blur_px=blur_px)

    drift = Drift(size_px, preset.drift_px, _rng(seed, "drift"))
    scene = _scene(size_px + 2 * drift.margin_px, preset, seed)
    response, class_map, angle = scene.response, scene.class_map, scene.angle_rad
    if preset.drift_px:
        response, class_map = drift.seen(response), drift.labels(class_map)
        angle = drift.directions(angle)

    symmetry = (*SYMMETRY[:_WALLS], 1) if preset.polarity else SYMMETRY
    for kind, order in enumerate(symmetry):
        angle[class_map == kind] = wrapped(angle[class_map == kind], order)
    pixels = measure(
        response,
        noise=noise,
        blur_px=blur_px,
        rng=_rng(seed, "instrument"),
        offset=preset.polarity,
    )
    pixels = wear(pixels, preset.streaks * size_px // 256, _rng(seed, "streaks"))
    return RenderedScan(
        name=NAME,
        pixels=pixels.astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=class_map,
        class_names=CLASS_NAMES,
        angle_rad=angle.astype(np.float32),
        symmetry=symmetry,
        lengths_px={**LENGTHS_PX, "grain_diameter": preset.grain_diameter_px},
        length_px=LENGTHS_PX["herringbone_band"],
        yx_px=steep_places(pixels, sigma_px=1.5, spacing_px=6.0),
        difficulty=difficulty,
    )


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """What lies under the tip, before it is scanned."""

    response: Plane
    """signed piezoresponse (height, width)"""
    class_map: NDArray[np.int16]
    angle_rad: Plane
    """nan where the class is ambiguous"""


def _scene(size_px: int, preset: DomainsPreset, seed: int) -> _Scene:
    grains = voronoi_grains(size_px, preset.grain_diameter_px, _rng(seed, "grains"))
    kinds = kinds_by_area(grains, AREA_SHARE, _rng(seed, "kinds"))
    if preset.likes_apart:
        kinds = likes_apart(grains, kinds)
    margin = distance_to_boundary(grains) < LENGTHS_PX["boundary_margin"]
    up = _rng(seed, "polarity").random(len(kinds)) < 0.5

    response = np.empty(grains.shape)
    angle = np.full(grains.shape, np.nan)
    class_map = np.full(grains.shape, AMBIGUOUS, dtype=np.int16)
    for grain, box in enumerate(ndimage.find_objects(grains + 1)):
        here = grains[box] == grain
        kind, rng = int(kinds[grain]), _rng(seed, "pattern", grain)
        pattern = patterns.PATTERNS[CLASS_NAMES[kind]](here, rng)
        response[box][here] = pattern.response[here] * rng.uniform(0.9, 1.1)
        if preset.polarity and kind != _WALLS and not up[grain]:  # walls have both sides anyway
            response[box][here] *= -1
        clear = here & pattern.shown & ~margin[box]
        class_map[box][clear] = kind
        angle[box][clear] = pattern.angle_rad[clear]
    response *= background(response.shape, _rng(seed, "background"))
    return _Scene(response=response, class_map=class_map, angle_rad=angle)
