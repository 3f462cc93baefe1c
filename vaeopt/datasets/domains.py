"""A rendered PFM amplitude scan of ferroelectric domains, with known truth.

Grains of a film, each filled with one of four building blocks of a domain pattern at its own
orientation: wide a/c stripes, fine needles, a herringbone of two lamella variants, and single
curved 180-degree walls. The signed piezoresponse is rendered first and blurred by the tip while
it still has its sign, so that the amplitude vanishes at a 180-degree wall for the reason it does in
the instrument; noise is added to the two quadratures of the lock-in.

Sources: Gruverman, Alexe and Meier, Nature Communications 10, 1661 (2019) for the contrast of PFM;
the real thick-film scan ``pzt-2um`` of :mod:`vaeopt.datasets.named` as the model for the patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import derive
from vaeopt.datasets.places import steep_places
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

__all__ = ["CLASS_NAMES", "LENGTHS_PX", "NAME", "SMALLEST_PX", "SYMMETRY", "render_domains"]

NAME = "ferroelectric-domains"
CLASS_NAMES = ("ac-stripes", "needles", "herringbone", "180-walls")

# Stripes have a steep and a gentle flank, so only a full turn brings them back. The others have
# two-fold axes: needles and walls everywhere, the herringbone in the middle of each band.
SYMMETRY = (1, 2, 2, 2)

LENGTHS_PX = MappingProxyType(
    {
        "grain_diameter": 66.0,
        "stripe_period": 22.0,
        "stripe_bright": 4.5,  # of full brightness, from the steep wall on
        "stripe_fall": 8.0,  # from there to the dark c domain
        "needle_period": 10.0,
        "herringbone_period": 10.0,  # across the lamellae
        "herringbone_band": 11.5,  # from one row of bends to the next
        "wall_spacing": 25.0,
        "wall_half_width": 1.3,  # of the tanh profile
        "wall_reach": 6.0,  # a place further from any wall than this shows no building block
        "boundary_margin": 5.0,
    }
)

# Share of the area: patterns with many edges per area get less of it, so that no class is rare
# among key points.
AREA_SHARE = (0.28, 0.20, 0.20, 0.32)

PIXEL_SIZE_NM = 2000 / 256
SMALLEST_PX = 128  # below this a class would have to do with a single small grain

Plane = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pattern:
    """One building block, drawn over the box round a grain, of which the grain is seen."""

    response: Plane
    """signed piezoresponse (height, width); the brightest domains have about 1"""
    angle_rad: Plane
    shown: Flags
    """whether the building block is there to be seen at this place"""


def render_domains(
    *, seed: int = 0, size_px: int = 256, noise: float = 0.04, blur_px: float = 1.2
) -> RenderedScan:
    """Render one scan; the truth depends on ``seed`` and ``size_px`` only.

    Args:
        seed: 0 or more; the same seed gives the same scan bit for bit.
        size_px: edge of the square image [px], 128 or more. Patterns keep their size in pixels.
        noise: standard deviation of the white noise per lock-in quadrature, where bright domains
            have response 1; line offsets and streaks of the slow axis scale with it, 0 switches
            all of them off.
        blur_px: standard deviation of the tip's Gaussian [px], 0 or more.

    Returns:
        The scan; classes are ``CLASS_NAMES``, with ``class_map`` -1 near grain boundaries and, in
        a grain of 180-degree walls, far from any of them.

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_domains(seed=1, size_px=128)
    >>> scan.pixels.shape, scan.class_names[int(scan.class_map.max())]
    ((128, 128), '180-walls')
    """
    _check(seed=seed, size_px=size_px, noise=noise, blur_px=blur_px)
    grains = _grains(size_px, _rng(seed, "grains"))
    kinds = _kinds(grains, _rng(seed, "kinds"))
    margin = _distance_to_boundary(grains) < LENGTHS_PX["boundary_margin"]

    response = np.empty(grains.shape)
    angle = np.full(grains.shape, np.nan)
    class_map = np.full(grains.shape, AMBIGUOUS, dtype=np.int16)
    for grain, box in enumerate(ndimage.find_objects(grains + 1)):
        here = grains[box] == grain
        kind, rng = kinds[grain], _rng(seed, "pattern", grain)
        pattern = _PATTERNS[kind](here, rng)
        response[box][here] = pattern.response[here] * rng.uniform(0.9, 1.1)
        clear = here & pattern.shown & ~margin[box]
        class_map[box][clear] = kind
        angle[box][clear] = _wrapped(pattern.angle_rad[clear], SYMMETRY[kind])

    response *= _background(response.shape, _rng(seed, "background"))
    pixels = _measure(response, noise=noise, blur_px=blur_px, rng=_rng(seed, "instrument"))
    return RenderedScan(
        name=NAME,
        pixels=pixels.astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=class_map,
        class_names=CLASS_NAMES,
        angle_rad=angle.astype(np.float32),
        symmetry=SYMMETRY,
        lengths_px=dict(LENGTHS_PX),
        length_px=LENGTHS_PX["herringbone_band"],
        yx_px=steep_places(pixels, sigma_px=1.5, spacing_px=6.0),
    )


def _check(*, seed: int, size_px: int, noise: float, blur_px: float) -> None:
    """Refuse what cannot be rendered, before any work."""
    if seed < 0:
        raise DataError(f"must be 0 or more, got {seed}", setting="seed")
    if size_px < SMALLEST_PX:
        raise DataError(
            f"must be {SMALLEST_PX} or more to hold all classes, got {size_px}", setting="size_px"
        )
    for setting, value in (("noise", noise), ("blur_px", blur_px)):
        if not (np.isfinite(value) and value >= 0):
            raise DataError(f"must be finite and 0 or more, got {value}", setting=setting)


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))


def _wrapped(angle_rad: Plane, symmetry: int) -> Plane:
    """Into [0, 2 pi / symmetry), also after rounding to float32."""
    period = np.float32(2 * np.pi / symmetry)
    wrapped = np.mod(angle_rad, 2 * np.pi / symmetry).astype(np.float32)
    return np.where(wrapped >= period, np.float32(0), wrapped)


def _grains(size_px: int, rng: np.random.Generator) -> Labels:
    """Voronoi grains of nearly equal size with wandering boundaries; labels (size, size)."""
    count = max(8, round((size_px / LENGTHS_PX["grain_diameter"]) ** 2))
    yx = np.mgrid[:size_px, :size_px].astype(float)
    flat = yx.reshape(2, -1)
    centres = flat[:, rng.choice(flat.shape[1], count, replace=False)]
    for _ in range(4):  # a few steps of Lloyd's algorithm; until convergence they would be hexagons
        owner = _nearest(flat, centres)
        centres = np.stack([flat[:, owner == grain].mean(axis=1) for grain in range(count)], axis=1)
    wander = np.stack([2.5 * _smooth_field((size_px, size_px), 9.0, rng) for _ in range(2)])
    return _nearest(yx + wander, centres)


def _nearest(yx: Plane, centres: Plane) -> Labels:
    """Index (...) of the nearest of the centres (2, n) of every place (2, ...)."""
    owner = np.zeros(yx.shape[1:], dtype=np.int64)
    nearest = np.full(yx.shape[1:], np.inf)
    for index, (y, x) in enumerate(centres.T):
        square = (yx[0] - y) ** 2 + (yx[1] - x) ** 2
        owner[square < nearest] = index
        np.minimum(nearest, square, out=nearest)
    return owner


def _kinds(grains: Labels, rng: np.random.Generator) -> list[int]:
    """A building block for every grain, areas as near to ``AREA_SHARE`` as whole grains allow."""
    areas = np.bincount(grains.ravel())
    wanted = np.array(AREA_SHARE) * areas.sum()
    given = np.zeros(len(CLASS_NAMES))
    kinds = [0] * len(areas)
    order = rng.permutation(len(areas))
    for position, grain in enumerate(order):
        lack = (wanted - given) / wanted
        kind = int(lack.argmax()) if position >= len(CLASS_NAMES) else position
        kinds[grain] = kind
        given[kind] += areas[grain]
    return kinds


def _distance_to_boundary(grains: Labels) -> Plane:
    """Distance to the nearest pixel of another grain [px]; the image border is no boundary."""
    inner = np.ones(grains.shape, dtype=bool)
    for axis in (0, 1):
        change = np.diff(grains, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        inner[tuple(before)] &= ~change
        inner[tuple(after)] &= ~change
    return np.asarray(ndimage.distance_transform_edt(inner))


def _background(shape: Shape, rng: np.random.Generator) -> Plane:
    """Gain of the whole scan: slow drift of the contact, and the grain of the surface."""
    slow: Plane = np.exp(0.13 * _smooth_field(shape, 40.0, rng))
    return slow * (1 + 0.04 * _smooth_field(shape, 1.6, rng))


def _smooth_field(shape: Shape, scale_px: float, rng: np.random.Generator) -> Plane:
    """Gaussian random field, zero mean, unit standard deviation, correlated over ``scale_px``."""
    pad = int(2 * scale_px)  # what comes back from the other side is cut off
    white = rng.standard_normal((shape[0] + 2 * pad, shape[1] + 2 * pad))
    field = ndimage.gaussian_filter(white, scale_px, mode="wrap")
    shrunk = 1 / (2 * np.sqrt(np.pi) * scale_px)  # what the filter leaves of the deviation
    return np.asarray(field[pad : pad + shape[0], pad : pad + shape[1]] / shrunk)


def _across(
    shape: Shape, angle_rad: float, rng: np.random.Generator, *, wander_px: float
) -> tuple[Plane, Plane]:
    """Coordinate across straight walls at ``angle_rad`` that wander a little [px].

    Returns:
        The coordinate, growing in the direction ``angle + pi / 2``, and the true angle per pixel.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    u = y * np.cos(angle_rad) - x * np.sin(angle_rad) + rng.uniform(0, 100)
    u += wander_px * _smooth_field(shape, 22.0, rng)
    return u, _direction(u)


def _direction(field: Plane) -> Plane:
    """Angle of the level lines of ``field``, which grows in the direction ``angle + pi / 2``."""
    down, right = np.gradient(field)
    return np.asarray(np.arctan2(-right, down))


def _lamella_jitter(u: Plane, period_px: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Phase in [0, 1) within each lamella, and a standard normal that is constant along it."""
    turns = u / period_px
    number = np.floor(turns).astype(int)
    per_lamella = rng.standard_normal(np.ptp(number) + 1)
    return turns - number, per_lamella[number - number.min()]


def _stripes(grain: Flags, rng: np.random.Generator) -> _Pattern:
    """Wide a/c stripes: a steep wall, a bright a domain, and a gentle fall to the next wall."""
    u, angle = _across(grain.shape, rng.uniform(0, 2 * np.pi), rng, wander_px=1.5)
    phase, height = _lamella_jitter(u, LENGTHS_PX["stripe_period"], rng)
    uneven = 1 + 0.10 * height + 0.12 * _smooth_field(grain.shape, 12.0, rng)
    past_wall_px = phase * LENGTHS_PX["stripe_period"]
    bright = np.clip(
        1 - (past_wall_px - LENGTHS_PX["stripe_bright"]) / LENGTHS_PX["stripe_fall"], 0, 1
    )
    response = 0.42 + 0.75 * uneven * bright
    return _Pattern(response=response, angle_rad=angle, shown=grain)


def _needles(grain: Flags, rng: np.random.Generator) -> _Pattern:
    """Fine corrugation by needle domains, which taper off here and there."""
    u, angle = _across(grain.shape, rng.uniform(0, np.pi), rng, wander_px=1.2)
    wave = np.cos(2 * np.pi * u / LENGTHS_PX["needle_period"])
    depth = 0.30 * (1 + 0.20 * _smooth_field(grain.shape, 8.0, rng))
    return _Pattern(response=0.60 + depth * wave, angle_rad=angle, shown=grain)


def _herringbone(grain: Flags, rng: np.random.Generator) -> _Pattern:
    """Two lamella variants at right angles that meet in rows of bends; the angle is the rows'."""
    spine_rad = rng.uniform(0, np.pi)
    u, angle = _across(grain.shape, spine_rad, rng, wander_px=1.5)
    along, _ = _across(grain.shape, spine_rad - np.pi / 2, rng, wander_px=1.5)
    band = LENGTHS_PX["herringbone_band"]
    fold = np.abs(np.mod(u, 2 * band) - band)  # rises and falls: 45 degrees one way, then the other
    lamellae = np.cos(2 * np.pi * (along + fold) / (np.sqrt(2) * LENGTHS_PX["herringbone_period"]))
    variant = np.where(np.mod(u, 2 * band) < band, 1, -1)
    depth = 0.28 * (1 + 0.2 * _smooth_field(grain.shape, 8.0, rng))
    response = 0.58 + depth * np.tanh(1.4 * lamellae) + 0.05 * variant
    return _Pattern(response=response, angle_rad=angle, shown=grain)


def _walls(grain: Flags, rng: np.random.Generator) -> _Pattern:
    """Curved 180-degree walls of a maze of up and down domains."""
    maze = _maze(grain.shape, rng)
    slope = np.hypot(*np.gradient(maze))
    wall = grain & (np.abs(maze) < 0.71 * slope)  # within a pixel, also where it runs diagonally
    plain = 0.80 * (1 + 0.07 * _smooth_field(grain.shape, 12.0, rng))
    if not wall.any():  # a grain that is one domain
        nothing = np.zeros_like(grain)
        return _Pattern(response=plain * np.sign(maze), angle_rad=0 * maze, shown=nothing)

    away_px = maze / np.maximum(slope, 0.3 * float(np.median(slope[wall])))
    response = plain * np.tanh(away_px / LENGTHS_PX["wall_half_width"])
    distance, (row, column) = ndimage.distance_transform_edt(~wall, return_indices=True)
    return _Pattern(
        response=response,
        angle_rad=_direction(maze)[row, column],
        shown=distance <= LENGTHS_PX["wall_reach"],
    )


def _maze(shape: Shape, rng: np.random.Generator) -> Plane:
    """Random field of one wavelength in all directions, zeros about a wall spacing apart."""
    pad = 64  # what comes back from the other side is cut off
    size = max(shape) + 2 * pad
    white = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    centre = 1 / (2 * LENGTHS_PX["wall_spacing"])
    ring = np.exp(-((frequency - centre) ** 2) / (2 * (0.12 * centre) ** 2))
    field = np.fft.irfft2(white * ring, s=(size, size))
    field = field / field.std() + 0.3  # one polarity prevails: more closed walls
    # Domain growth: walls under tension lose kinks, crossings and the smallest islands.
    for _ in range(5):
        field = ndimage.gaussian_filter(np.tanh(4 * field), 3.0, mode="wrap")
    return np.asarray(field[pad : pad + shape[0], pad : pad + shape[1]])


_PATTERNS: tuple[Callable[[Flags, np.random.Generator], _Pattern], ...] = (
    _stripes,
    _needles,
    _herringbone,
    _walls,
)


def _measure(response: Plane, *, noise: float, blur_px: float, rng: np.random.Generator) -> Plane:
    """Amplitude that a lock-in reports of a signed response: tip, quadratures, slow-axis faults."""
    blurred = ndimage.gaussian_filter(response, blur_px, mode="nearest")
    floor = 0.03  # electrostatic part, out of phase: the amplitude never quite reaches 0
    in_phase, quadrature = rng.standard_normal((2, *response.shape))
    amplitude = np.hypot(blurred + noise * in_phase, floor + noise * quadrature)
    amplitude += noise * _line_faults(response.shape[0], rng)
    return np.asarray(np.maximum(amplitude, 1e-3))


def _line_faults(size_px: int, rng: np.random.Generator) -> Plane:
    """Offsets from line to line of the slow axis, and a few streaks, in units of the noise."""
    faults = np.repeat(0.4 * rng.standard_normal((size_px, 1)), size_px, axis=1)
    column = np.arange(size_px)
    for _ in range(size_px // 24):
        row, start = rng.integers(size_px, size=2)
        length, height = rng.uniform(20, 90), rng.normal(0, 3)
        faults[row] += height * np.exp(-(column - start) / length) * (column >= start)
    return faults
