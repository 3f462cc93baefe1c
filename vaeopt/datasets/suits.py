"""The four suits of playing cards as plane shapes, and drawing one of them turned and sheared.

A shape is a question that is asked of points (x to the right, y up): are they inside? All suits are
scaled to the same area with their centroid at the origin, so that neither the brightness of a
window nor where its mass lies tells one from another: only the shape does.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AREA_PX2", "SUITS", "draw_suit"]

SUITS = ("spade", "club", "diamond", "heart")

AREA_PX2 = 400.0
"""of every suit, which then is 26 to 33 px tall and 24 to 27 px wide"""

SUBPIXELS = 4
"""samples per edge of a pixel: coverage comes in steps of 1/16"""

Plane = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


def draw_suit(
    suit: int, *, box_px: int, centre_yx: tuple[float, float], angle_rad: float, shear_rad: float
) -> Plane:
    """Coverage of every pixel of a box by one suit.

    Args:
        suit: index into ``SUITS``.
        box_px: edge of the square box [px].
        centre_yx: place of the suit's centroid in the box, pixel centres at integers [px].
        angle_rad: direction of the suit's left-to-right axis, from the +column axis towards the
            +row axis; 0 is upright.
        shear_rad: lean to the suit's right before the turn; the left-to-right axis stays and so
            does the area.

    Returns:
        (box, box) in [0, 1]: the share of each pixel that is inside.
    """
    # Single precision: twice as fast, and much finer than the samples.
    fine = (np.arange(box_px * SUBPIXELS, dtype=np.float32) + 0.5) / SUBPIXELS - 0.5
    row, column = fine[:, None] - float(centre_yx[0]), fine[None, :] - float(centre_yx[1])
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    y = sin * column - cos * row
    x = cos * column + sin * row - math.tan(shear_rad) * y
    scale, height = _scale_and_centroid(suit)
    inside = _INSIDE[suit](np.abs(x) / scale, y / scale + height)
    blocks = inside.reshape(box_px, SUBPIXELS, box_px, SUBPIXELS)
    return np.asarray(np.count_nonzero(blocks, axis=(1, 3)) / SUBPIXELS**2)


@cache
def _scale_and_centroid(suit: int) -> tuple[float, float]:
    """Pixels per unit of the shape that give it its area, and the height of its centroid."""
    fine = (np.arange(600) + 0.5) / 200 - 1.5  # midpoints; every shape lies within 1.5 of (0, 0)
    x, y = np.meshgrid(fine, fine)
    inside = _INSIDE[suit](np.abs(x), y)
    area = inside.sum() / 200**2
    return float(np.sqrt(AREA_PX2 / area)), float(y[inside].mean())


# Shapes: they are the same to the left and to the right, so x is the distance from the axis.


def _spade(x: Plane, y: Plane) -> Flags:
    return _leaf(x / 0.9, (0.2 - y) / 0.8) | _stem(x, y)


def _club(x: Plane, y: Plane) -> Flags:
    top = x**2 + (y - 0.56) ** 2 < 0.40**2
    side = (x - 0.49) ** 2 + (y + 0.16) ** 2 < 0.40**2
    middle = (x < 0.2) & (np.abs(y - 0.1) < 0.3)
    return np.asarray(top | side | middle | _stem(x, y))


def _diamond(x: Plane, y: Plane) -> Flags:
    return np.asarray(x / 0.72 + np.abs(y) < 1)


def _heart(x: Plane, y: Plane) -> Flags:
    return _leaf(x, y)


def _leaf(x: Plane, y: Plane) -> Flags:
    """Two round lobes above, and the tangents to them that meet in the tip at (0, -1)."""
    lobe_x, lobe_y, radius = 0.46, 0.36, 0.52
    lobe = (x - lobe_x) ** 2 + (y - lobe_y) ** 2 < radius**2
    # The tangent from the tip, and the chord from where it touches to the notch between the lobes.
    away = math.hypot(lobe_x, lobe_y + 1)
    steep = math.atan2(lobe_y + 1, lobe_x) - math.asin(radius / away)
    length = math.sqrt(away**2 - radius**2)
    touch_x, touch_y = length * math.cos(steep), length * math.sin(steep) - 1
    notch_y = lobe_y + math.sqrt(radius**2 - lobe_x**2)
    above_tangent = (y + 1) * math.cos(steep) > x * math.sin(steep)
    below_chord = (y - notch_y) * touch_x < (touch_y - notch_y) * x
    return np.asarray(lobe | (above_tangent & below_chord))


def _stem(x: Plane, y: Plane) -> Flags:
    """A foot that widens towards the ground at y = -1."""
    return np.asarray((y > -1) & (y < -0.1) & (x < 0.07 + 0.3 * np.square(0.1 + y)))


_INSIDE: tuple[Callable[[Plane, Plane], Flags], ...] = (_spade, _club, _diamond, _heart)
