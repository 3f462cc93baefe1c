"""A rendered table of playing card suits, with known truth: one suit per cell of a square grid.

The classic test of invariant autoencoders: four shapes of equal area, turned, sheared and shifted
at random, each the same number of times and mixed at random, so that neighbours tell nothing of
each other. The four classic sets differ in how far suits are turned and sheared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import derive
from vaeopt.core.settings import nearest
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan
from vaeopt.datasets.suits import SUITS, draw_suit

__all__ = [
    "FEWEST_CELLS",
    "LENGTHS_PX",
    "NAME",
    "PRESETS",
    "SYMMETRY",
    "CardsPreset",
    "render_cards",
]

NAME = "cards"
SYMMETRY = (1, 1, 2, 1)  # a diamond has a two-fold axis, sheared or not

LENGTHS_PX = MappingProxyType(
    {
        "cell": 48.0,
        "suit_height": 30.0,  # 26 to 33, by suit
        "label_radius": 16.0,  # a place further from the centroid of any suit has no class
    }
)

# Shows a suit of any turn, shear and shift nearly whole, and nothing of its neighbours.
LENGTH_PX = 40.0

CELL_PX = 48
MARGIN_PX = 16  # so that a window of 48 px has its place also when it is turned and shifted
FEWEST_CELLS = 6  # below this a class would have to do with a handful of suits

Plane = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class CardsPreset:
    """How far suits differ from upright ones in the middle of their cells, and the instrument."""

    rotation_deg: float
    """turns are uniform between minus and plus this"""
    shear_deg: float
    """so are shears"""
    shift_px: float
    """and shifts along rows and columns"""
    noise: float
    """standard deviation of white noise, where a suit is 1 above its ground"""
    blur_px: float
    """standard deviation of a Gaussian"""
    background: float
    """standard deviation of a slowly varying ground"""


_TURNED_LITTLE = CardsPreset(
    rotation_deg=12, shear_deg=1, shift_px=2, noise=0.03, blur_px=0.7, background=0.02
)
_SHEARED = CardsPreset(
    rotation_deg=12, shear_deg=20, shift_px=3, noise=0.05, blur_px=0.9, background=0.03
)
_TURNED = CardsPreset(
    rotation_deg=120, shear_deg=1, shift_px=3, noise=0.05, blur_px=0.9, background=0.03
)
_TURNED_AND_SHEARED = CardsPreset(
    rotation_deg=120, shear_deg=20, shift_px=4, noise=0.08, blur_px=1.1, background=0.05
)

PRESETS: Mapping[str, CardsPreset] = MappingProxyType(
    {
        "easy": _TURNED_LITTLE,
        "medium": _TURNED,
        "hard": _TURNED_AND_SHEARED,
        "rot12-shear1": _TURNED_LITTLE,
        "rot12-shear20": _SHEARED,
        "rot120-shear1": _TURNED,
        "rot120-shear20": _TURNED_AND_SHEARED,
    }
)
"""difficulties by name: the four classic sets, three of them also by how hard they are"""


def render_cards(
    *,
    seed: int = 0,
    difficulty: str = "medium",
    cells: int = 20,
    noise: float | None = None,
    blur_px: float | None = None,
) -> RenderedScan:
    """Render one table of suits.

    With one seed, every difficulty has the same suits in the same cells, turned the same way, only
    further or less far. The truth does not depend on ``noise`` and ``blur_px``.

    Args:
        seed: 0 or more; the same seed gives the same scan bit for bit.
        difficulty: a key of ``PRESETS``.
        cells: suits along each edge of the image, 6 or more; the edge is 48 px per cell and a
            margin of 16 px on both sides.
        noise: standard deviation of white noise, where a suit is 1 above its ground; that of the
            difficulty if left out.
        blur_px: standard deviation of a Gaussian blur [px]; that of the difficulty if left out.

    Returns:
        The scan; classes are ``SUITS``, angles the direction of their left-to-right axis (0 is
        upright). ``class_map`` is -1 further than 16 px from the centroid of any suit. Key points
        are the centres of cells, row by row. Suits have no size of their own: a pixel is 1 nm.

    Raises:
        DataError: an unknown difficulty, or an argument out of its range.

    >>> scan = render_cards(seed=1, cells=6)
    >>> scan.pixels.shape, scan.class_names, len(scan.yx_px)
    ((320, 320), ('spade', 'club', 'diamond', 'heart'), 36)
    """
    preset = _preset(difficulty)
    noise = preset.noise if noise is None else noise
    blur_px = preset.blur_px if blur_px is None else blur_px
    _check(seed=seed, cells=cells, noise=noise, blur_px=blur_px)

    n = cells**2
    suits = _rng(seed, "suits").permutation(np.arange(n) % len(SUITS))
    turn_rad = np.deg2rad(preset.rotation_deg) * _rng(seed, "turns").uniform(-1, 1, n)
    shear_rad = np.deg2rad(preset.shear_deg) * _rng(seed, "shears").uniform(-1, 1, n)
    shift_px = preset.shift_px * _rng(seed, "shifts").uniform(-1, 1, (n, 2))

    size = cells * CELL_PX + 2 * MARGIN_PX
    pixels = np.zeros((size, size))
    class_map = np.full((size, size), AMBIGUOUS, dtype=np.int16)
    angle = np.full((size, size), np.nan, dtype=np.float32)
    corners = MARGIN_PX + CELL_PX * np.indices((cells, cells)).reshape(2, -1).T
    offset = np.arange(CELL_PX)
    for i, (top, left) in enumerate(corners):
        cell = np.s_[top : top + CELL_PX, left : left + CELL_PX]
        suit, (y, x) = int(suits[i]), CELL_PX // 2 + shift_px[i]
        pixels[cell] = draw_suit(
            suit, box_px=CELL_PX, centre_yx=(y, x), angle_rad=turn_rad[i], shear_rad=shear_rad[i]
        )
        near = np.hypot(offset[:, None] - y, offset - x) <= LENGTHS_PX["label_radius"]
        class_map[cell][near] = suit
        angle[cell][near] = _wrapped(turn_rad[i], SYMMETRY[suit])

    pixels += preset.background * _slow_field(size, _rng(seed, "background"))
    return RenderedScan(
        name=NAME,
        pixels=_measure(pixels, noise=noise, blur_px=blur_px, rng=_rng(seed, "noise")),
        pixel_size_nm=1.0,
        class_map=class_map,
        class_names=SUITS,
        angle_rad=angle,
        symmetry=SYMMETRY,
        lengths_px=dict(LENGTHS_PX),
        length_px=LENGTH_PX,
        yx_px=(corners + CELL_PX // 2).astype(np.float64),
        difficulty=difficulty,
    )


def _preset(difficulty: str) -> CardsPreset:
    """The preset of that name."""
    if difficulty not in PRESETS:
        raise DataError(
            f"unknown difficulty {difficulty!r} of {NAME!r}",
            setting="difficulty",
            remedy=nearest(difficulty, PRESETS),
        )
    return PRESETS[difficulty]


def _check(*, seed: int, cells: int, noise: float, blur_px: float) -> None:
    """Refuse what cannot be rendered, before any work."""
    if seed < 0:
        raise DataError(f"must be 0 or more, got {seed}", setting="seed")
    if cells < FEWEST_CELLS:
        raise DataError(
            f"must be {FEWEST_CELLS} or more to hold enough of all suits, got {cells}",
            setting="cells",
        )
    for setting, value in (("noise", noise), ("blur_px", blur_px)):
        if not (np.isfinite(value) and value >= 0):
            raise DataError(f"must be finite and 0 or more, got {value}", setting=setting)


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, purpose))


def _wrapped(angle_rad: float, symmetry: int) -> np.float32:
    """Into [0, 2 pi / symmetry), also after rounding to float32."""
    period = 2 * np.pi / symmetry
    wrapped = np.float32(angle_rad % period)
    return wrapped if wrapped < np.float32(period) else np.float32(0)


def _slow_field(size: int, rng: np.random.Generator) -> Plane:
    """Gaussian random field, zero mean, unit standard deviation, correlated over two cells."""
    scale = 2.0 * CELL_PX
    knots = np.arange(-2 * scale, size + 2 * scale, scale)
    weights = np.exp(-(((np.arange(size)[:, None] - knots) / scale) ** 2))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.asarray(weights @ rng.standard_normal((len(knots), len(knots))) @ weights.T)


def _measure(
    drawn: Plane, *, noise: float, blur_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """What an instrument reports: blurred, noisy, above a pedestal that keeps it positive."""
    pedestal = 1.0  # 10 standard deviations of the hardest noise and background together
    blurred = ndimage.gaussian_filter(drawn, blur_px, mode="nearest")
    noisy = pedestal + blurred + noise * rng.standard_normal(drawn.shape)
    return np.asarray(np.maximum(noisy, 1e-3), dtype=np.float32)
