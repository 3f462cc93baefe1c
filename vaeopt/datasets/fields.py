"""Smooth random fields, and the directions of their level lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["direction", "inside", "maze", "one_wavelength", "smooth_field", "wrapped"]

Plane = NDArray[np.floating[Any]]
Shape = tuple[int, ...]

_PAD_PX = 64  # what comes back from the other side is cut off


def smooth_field(shape: Shape, scale_px: float, rng: np.random.Generator) -> Plane:
    """Gaussian random field, zero mean, unit standard deviation, correlated over ``scale_px``."""
    pad = int(2 * scale_px)  # what comes back from the other side is cut off
    white = rng.standard_normal((shape[0] + 2 * pad, shape[1] + 2 * pad))
    field = ndimage.gaussian_filter(white, scale_px, mode="wrap")
    shrunk = 1 / (2 * np.sqrt(np.pi) * scale_px)  # what the filter leaves of the deviation
    return np.asarray(field[pad : pad + shape[0], pad : pad + shape[1]] / shrunk)


def direction(field: Plane) -> Plane:
    """Angle of the level lines of ``field``, which grows towards ``angle + pi / 2`` [rad]."""
    down, right = np.gradient(field)
    return np.asarray(np.arctan2(-right, down))


def wrapped(angle_rad: Plane, symmetry: int) -> Plane:
    """Into [0, 2 pi / symmetry), also after rounding to float32; symmetry is 1 or more."""
    period = np.float32(2 * np.pi / symmetry)
    wrapped = np.mod(angle_rad, 2 * np.pi / symmetry).astype(np.float32)
    return np.where(wrapped >= period, np.float32(0), wrapped)


def one_wavelength(
    shape: Shape, wavelength_px: float, spread: float, rng: np.random.Generator
) -> Plane:
    """Gaussian random field of one wavelength in all directions, unit standard deviation.

    Args:
        shape: (height, width).
        wavelength_px: of a full period [px].
        spread: standard deviation of the frequency, as a share of it.
        rng: where randomness comes from.

    Returns:
        A square field with room round the shape: :func:`inside` cuts it out.
    """
    size = max(shape) + 2 * _PAD_PX
    white = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    centre = 1 / wavelength_px
    ring = np.exp(-((frequency - centre) ** 2) / (2 * (spread * centre) ** 2))
    field = np.fft.irfft2(white * ring, s=(size, size))
    return np.asarray(field / field.std())


def inside(field: Plane, shape: Shape) -> Plane:
    """What is left of a field of :func:`one_wavelength` without the room round it."""
    return field[_PAD_PX : _PAD_PX + shape[0], _PAD_PX : _PAD_PX + shape[1]]


def maze(shape: Shape, wall_spacing_px: float, rng: np.random.Generator) -> Plane:
    """Up and down domains: a field whose zeros, the walls, are about a wall spacing apart."""
    field = one_wavelength(shape, 2 * wall_spacing_px, 0.12, rng)
    field = field + 0.3  # one polarity prevails: more closed walls
    # Domain growth: walls under tension lose kinks, crossings and the smallest islands.
    for _ in range(5):
        field = ndimage.gaussian_filter(np.tanh(4 * field), 3.0, mode="wrap")
    return np.asarray(inside(field, shape))
