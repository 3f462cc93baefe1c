"""What rendered STEM frames share: sites of a lattice, smooth fields, and how a frame is taken.

A frame is an annular dark-field image (HAADF): every atom column adds a Gaussian of the width of
the probe, heights go with the atomic number, a slow background lies below, lines of the scan are
shifted against each other by a little, and electrons are counted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest

__all__ = [
    "Columns",
    "Frame",
    "Strain",
    "Waves",
    "as_found",
    "check_arguments",
    "expose",
    "lattice_sites",
    "pixel_places",
    "query",
    "rotation",
    "wrapped",
]

Values = NDArray[np.floating[Any]]

FLOOR = 0.15
"""mean intensity of the background"""

_LEAST = 1e-3  # of an image that has to stay positive
_BOX_SIGMAS = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Atom columns of a frame."""

    yx_px: Values
    """(n, 2), pixel centres at integers"""
    height: Values
    """(n,) intensity in the middle of the column, above the background"""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a frame is taken; nothing of it touches the truth."""

    dose: float
    """electrons counted in a pixel of intensity 1; infinite: no shot noise"""
    probe_px: float
    """standard deviation of the Gaussian of a column [px]"""
    line_shift_px: float
    """standard deviation of the shift of a line of the scan along itself [px]"""
    background: float
    """how uneven it is lit: standard deviation of the slow change of heights; the background below
    them changes by four times that"""


class Waves:
    """Smooth random field: plane waves in all directions, zero mean, with exact gradients.

    Args:
        rng: draws directions, phases and lengths.
        shortest_px: least wavelength [px]; the longest is 2.5 times that.
    """

    def __init__(self, rng: np.random.Generator, shortest_px: float, n_waves: int = 16) -> None:
        direction = rng.uniform(0, 2 * np.pi, n_waves)
        wavelength = shortest_px * rng.uniform(1.0, 2.5, n_waves)
        turn = np.stack([np.sin(direction), np.cos(direction)])
        self._wave_vector = 2 * np.pi / wavelength * turn  # (2, n_waves)
        self._phase = rng.uniform(0, 2 * np.pi, n_waves)
        self._scale = float(np.sqrt(2 / n_waves))

    @property
    def slope_rms(self) -> float:
        """Root mean square of a component of the gradient [1/px], over space and both axes."""
        return float(self._scale / 2 * np.sqrt((self._wave_vector**2).sum()))

    def __call__(self, yx_px: Values) -> Values:
        """Value (...) at places (..., 2); its root mean square over space is 1."""
        return np.asarray(self._scale * np.cos(yx_px @ self._wave_vector + self._phase).sum(-1))

    def gradient(self, yx_px: Values) -> Values:
        """Derivatives (..., 2) after row and column [1/px] at places (..., 2)."""
        slope = -self._scale * np.sin(yx_px @ self._wave_vector + self._phase)
        return np.asarray(slope @ self._wave_vector.T)


class Strain:
    """Smooth displacement of a lattice.

    Args:
        rng: draws the displacement.
        strain: root mean square of a component of its gradient; what it looks like does not
            depend on this.
    """

    def __init__(self, rng: np.random.Generator, strain: float) -> None:
        self._waves = Waves(rng, 100.0), Waves(rng, 100.0)
        self._scales_px = [strain / wave.slope_rms for wave in self._waves]

    def displaced(self, yx_px: Values) -> Values:
        """Where places (..., 2) of the unstrained lattice go [px]."""
        moves = [s * wave(yx_px) for s, wave in zip(self._scales_px, self._waves, strict=True)]
        return np.asarray(yx_px + np.stack(moves, axis=-1))

    def turn(self, yx_px: Values) -> Values:
        """By how much the lattice is turned at each place (..., 2) [rad]."""
        down, right = (
            s * wave.gradient(yx_px) for s, wave in zip(self._scales_px, self._waves, strict=True)
        )
        return np.asarray((down[..., 1] - right[..., 0]) / 2)


def check_arguments(
    *,
    seed: int,
    difficulty: str,
    presets: tuple[str, ...],
    size_px: int,
    smallest_px: int,
    dose: float | None,
) -> None:
    """Refuse what cannot be rendered, before any work.

    Raises:
        DataError: the first argument that is out of its range.
    """
    if seed < 0:
        raise DataError(f"must be 0 or more, got {seed}", setting="seed")
    if difficulty not in presets:
        raise DataError(
            f"unknown preset {difficulty!r}",
            setting="difficulty",
            remedy=nearest(difficulty, presets),
        )
    if size_px < smallest_px:
        raise DataError(
            f"must be {smallest_px} or more to hold all classes, got {size_px}", setting="size_px"
        )
    if dose is not None and not dose > 0:
        raise DataError(f"must be more than 0, got {dose}", setting="dose")


def lattice_sites(vectors_px: Values, *, centre_px: Values, reach_px: float) -> Values:
    """All sites of a lattice within a distance of a place, which is itself a site.

    Args:
        vectors_px: (2, 2), two rows that span the lattice, each (row, column) [px].
        centre_px: (2,) place [px].
        reach_px: largest distance from there [px].

    Returns:
        (n, 2) places [px], in the order of their indices.

    >>> len(lattice_sites(np.eye(2), centre_px=np.zeros(2), reach_px=1.0))
    5
    """
    # Rows of the dual lattice are as long as indices grow per pixel, at most.
    per_px = np.linalg.norm(np.linalg.inv(vectors_px), axis=0)
    first, second = (np.arange(-n, n + 1) for n in np.ceil(per_px * reach_px).astype(int))
    index = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    away = index @ vectors_px
    return np.asarray(centre_px + away[np.hypot(*away.T) <= reach_px * (1 + 1e-9)])


def pixel_places(size_px: int, *, step_px: int = 1, edge_px: int = 0) -> NDArray[np.float64]:
    """Places (n, n, 2) of every ``step_px``-th pixel of a square frame and an edge round it.

    >>> pixel_places(2)[1, 0].tolist(), pixel_places(4, step_px=2, edge_px=2)[0, 1].tolist()
    ([1.0, 0.0], [-2.0, 0.0])
    """
    line = np.arange(-edge_px, size_px + edge_px, step_px, dtype=np.float64)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)


def query(
    places_px: Values, yx_px: Values, *, n_near: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest of the places (n, 2), and which it is, from every ``yx_px`` (..., 2).

    Returns:
        Two arrays (...), or (..., n_near) with more than one asked for.
    """
    distance, index = cKDTree(places_px).query(yx_px, k=n_near)
    return np.asarray(distance, dtype=np.float64), np.asarray(index, dtype=np.int64)


def rotation(angle_rad: float) -> Values:
    """Matrix that turns rows (row, column) from the +column towards the +row axis.

    >>> (np.array([0.0, 1.0]) @ rotation(np.pi / 2)).round(9).tolist()  # a column becomes a row
    [1.0, 0.0]
    """
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])


def wrapped(angle_rad: Values, symmetry: int) -> Values:
    """Into [0, 2 pi / symmetry), also after rounding to float32.

    >>> float(wrapped(np.array([np.pi]), 2)[0])
    0.0
    """
    period = np.float32(2 * np.pi / symmetry)
    turned = np.mod(angle_rad, 2 * np.pi / symmetry).astype(np.float32)
    return np.where(turned >= period, np.float32(0), turned)


def as_found(yx_px: Values, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where a detector of maxima finds columns: off by 0.2 px on average, by 0.4 px at most.

    Args:
        yx_px: (n, 2) true places [px].
        rng: draws the errors.
    """
    angle = rng.uniform(0, 2 * np.pi, len(yx_px))
    off_px = rng.uniform(0, 0.4, len(yx_px))
    error = off_px[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.asarray(yx_px + error, dtype=np.float64)


def expose(columns: Columns, size_px: int, frame: Frame, rng: np.random.Generator) -> Values:
    """Take a frame: columns, background, shifted lines, counted electrons.

    Args:
        columns: all of them, also those just outside of the frame.
        size_px: edge of the square frame [px].
        frame: how it is taken.
        rng: draws background, shifts of lines and electrons, in this order.

    Returns:
        (size, size), positive; counts per pixel divided by the dose.
    """
    gain, floor = Waves(rng, size_px * 0.6), Waves(rng, size_px * 0.4)
    # Lines follow each other: a shift is half new, half that of the line before.
    fresh = rng.standard_normal(size_px + 1)
    shift_px = frame.line_shift_px * (fresh[1:] + fresh[:-1]) / np.sqrt(2)

    yx = pixel_places(size_px)
    intensity = _drawn(columns, size_px, frame.probe_px, shift_px) * (
        1 + frame.background * gain(yx)
    )
    intensity += FLOOR * np.maximum(1 + 4 * frame.background * floor(yx), 0.1)
    if np.isinf(frame.dose):
        return intensity
    counts = rng.poisson(frame.dose * intensity)
    return np.asarray(np.maximum(counts / frame.dose, _LEAST))


def _drawn(columns: Columns, size_px: int, sigma_px: float, shift_px: Values) -> Values:
    """Sum of Gaussians (size, size), line ``i`` shifted by ``shift_px[i]`` along itself."""
    half = int(np.ceil(_BOX_SIGMAS * sigma_px))
    near = ((columns.yx_px > -half) & (columns.yx_px < size_px - 1 + half)).all(axis=1)
    centre, height = columns.yx_px[near], columns.height[near]
    box = np.arange(-half, half + 1)
    row = np.rint(centre[:, :1]).astype(int) + box  # (n, box)
    column = np.rint(centre[:, 1:]).astype(int) + box
    down = row - centre[:, :1]
    right = (
        column[:, None, :]
        - centre[:, 1][:, None, None]
        - shift_px[np.clip(row, 0, size_px - 1)][:, :, None]
    )
    added = height[:, None, None] * np.exp(-(down[:, :, None] ** 2 + right**2) / (2 * sigma_px**2))
    inside = ((row >= 0) & (row < size_px))[:, :, None] & ((column >= 0) & (column < size_px))[
        :, None, :
    ]
    place = (row[:, :, None] * size_px + column[:, None, :])[inside]
    drawn = np.bincount(place, weights=added[inside], minlength=size_px**2)
    return np.asarray(drawn.reshape(size_px, size_px), dtype=np.float64)
