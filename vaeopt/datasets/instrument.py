"""What an instrument does to a response: tip, quadratures, faults of the slow axis, drift."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.datasets.fields import smooth_field

__all__ = ["Drift", "background", "measure", "wear"]

Plane = NDArray[np.floating[Any]]
Shape = tuple[int, ...]

_DRIFT_ROWS = 45.0


class Drift:
    """The sample moves under the tip while it is scanned: every row is seen from elsewhere.

    Along the slow axis rows come closer or part, along the fast axis they are shifted against
    each other. Both are smooth in time, that is from row to row. What is seen and what is true
    there are moved alike, and directions turn with the shear.

    Args:
        size_px: rows of the scan, and columns.
        drift_px: standard deviation of the displacement along each axis [px]; 0 for none.
        rng: where randomness comes from.
    """

    def __init__(self, size_px: int, drift_px: float, rng: np.random.Generator) -> None:
        self._size_px = size_px
        # Smooth fields are two-dimensional; their first column is a smooth function of the row.
        steps = [smooth_field((size_px, 1), _DRIFT_ROWS, rng)[:, 0] for _ in range(2)]
        self._down_px, self._right_px = (drift_px * (step - step.mean()) for step in steps)
        reach = max(np.abs(self._down_px).max(), np.abs(self._right_px).max())
        self.margin_px = int(np.ceil(reach)) + 1 if drift_px else 0
        """room that a scene must have round the scan [px]"""

    def seen(self, scene: Plane) -> Plane:
        """A plane of the scene as it is scanned, between pixels by cubic splines."""
        return np.asarray(ndimage.map_coordinates(scene, self._places(), order=3, mode="nearest"))

    def labels(self, scene: NDArray[np.int16]) -> NDArray[np.int16]:
        """Labels of the nearest pixel of the scene."""
        row, column = np.rint(self._places()).astype(np.int64)
        return np.asarray(scene[row, column])

    def directions(self, scene_rad: Plane) -> Plane:
        """Directions of the nearest pixel of the scene, as they run in the scan [rad]."""
        row, column = np.rint(self._places()).astype(np.int64)
        angle = scene_rad[row, column]
        down, right = np.sin(angle), np.cos(angle)
        # One row further in the scan is 1 + d(down) rows and d(right) columns further in the scene.
        down = down / (1 + np.gradient(self._down_px))[:, None]
        right = right - np.gradient(self._right_px)[:, None] * down
        return np.asarray(np.arctan2(down, right))

    def _places(self) -> Plane:
        """Where in the scene each pixel of the scan lies, (2, size, size)."""
        row, column = np.mgrid[: self._size_px, : self._size_px] + float(self.margin_px)
        return np.stack([row + self._down_px[:, None], column + self._right_px[:, None]])


def background(shape: Shape, rng: np.random.Generator) -> Plane:
    """Gain of the whole scan: slow drift of the contact, and the grain of the surface."""
    slow: Plane = np.exp(0.13 * smooth_field(shape, 40.0, rng))
    return slow * (1 + 0.04 * smooth_field(shape, 1.6, rng))


def measure(
    response: Plane, *, noise: float, blur_px: float, rng: np.random.Generator, offset: float = 0.0
) -> Plane:
    """Amplitude that a lock-in reports of a signed response: tip, quadratures, slow-axis faults.

    Args:
        response: (size, size); bright domains have about 1.
        noise: standard deviation of the white noise per quadrature; line faults scale with it.
        blur_px: standard deviation of the tip's Gaussian [px].
        rng: where randomness comes from.
        offset: electrostatic part in phase: up domains look brighter by it, down domains darker.

    Returns:
        The amplitude, positive.
    """
    blurred = ndimage.gaussian_filter(response, blur_px, mode="nearest")
    floor = 0.03  # electrostatic part, out of phase: the amplitude never quite reaches 0
    in_phase, quadrature = rng.standard_normal((2, *response.shape))
    amplitude = np.hypot(blurred + offset + noise * in_phase, floor + noise * quadrature)
    amplitude += noise * _line_faults(response.shape[0], rng)
    return np.asarray(np.maximum(amplitude, 1e-3))


def wear(amplitude: Plane, streaks: int, rng: np.random.Generator) -> Plane:
    """Streaks of a tip that picks up a particle: part of a row or two loses contact or gains it.

    Args:
        amplitude: (height, width).
        streaks: how many.
        rng: where randomness comes from.
    """
    gain = np.ones_like(amplitude)
    height, width = amplitude.shape
    for _ in range(streaks):
        row, column = rng.integers(height), rng.integers(-width // 4, width)
        rows, length = rng.integers(1, 3), rng.integers(width // 8, width // 2)
        here = slice(row, row + rows), slice(max(column, 0), max(column + length, 0))
        gain[here] = rng.uniform(0.35, 0.8) if rng.random() < 0.7 else rng.uniform(1.2, 1.5)
    return amplitude * gain


def _line_faults(size_px: int, rng: np.random.Generator) -> Plane:
    """Offsets from line to line of the slow axis, and a few streaks, in units of the noise."""
    faults = np.repeat(0.4 * rng.standard_normal((size_px, 1)), size_px, axis=1)
    column = np.arange(size_px)
    for _ in range(size_px // 24):
        row, start = rng.integers(size_px, size=2)
        length, height = rng.uniform(20, 90), rng.normal(0, 3)
        faults[row] += height * np.exp(-(column - start) / length) * (column >= start)
    return faults
