"""A frame with two axes on a canvas: data to pixels, ticks and titles."""

import math
from typing import NamedTuple

import numpy as np

from vaeopt.core.types import Floats
from vaeopt.report.pictures.canvas import GREY, INK, SMALL, Canvas

__all__ = ["Plane", "number", "spread", "tick_values"]

_TICK_PX = 4


class Plane(NamedTuple):
    """Where data of two ranges are drawn."""

    left: int
    top: int
    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, xy: Floats) -> Floats:
        """Data (n, 2) to pixels; what lies outside is moved to the edge."""
        low = np.asarray([self.x[0], self.y[0]])
        size = np.asarray([self.x[1] - self.x[0], self.y[1] - self.y[0]])
        share = np.clip((np.asarray(xy, np.float64) - low) / size, 0.0, 1.0)
        return np.column_stack(
            [self.left + share[:, 0] * self.width, self.top + (1 - share[:, 1]) * self.height]
        )

    def frame(self, canvas: Canvas, x_title: str, y_title: str, *, whole: bool = False) -> None:
        """Two axes with ticks, numbers and titles; x may count things that come whole."""
        bottom = self.top + self.height
        canvas.line(
            [[self.left, self.top], [self.left, bottom], [self.left + self.width, bottom]], INK, 1
        )
        for value in tick_values(*self.x):
            if whole and value != round(value):
                continue
            at = self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * self.width
            canvas.line([[at, bottom], [at, bottom + _TICK_PX]], INK, 1)
            canvas.text(at, bottom + 7, number(value), size=SMALL, anchor="mt", colour=GREY)
        for value in tick_values(*self.y):
            at = bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * self.height
            canvas.line([[self.left - _TICK_PX, at], [self.left, at]], INK, 1)
            canvas.text(self.left - 7, at, number(value), size=SMALL, anchor="rm", colour=GREY)
        canvas.text(self.left + self.width / 2, bottom + 24, x_title, anchor="mt")
        canvas.text(14, self.top + self.height / 2, y_title, upright=True)


def number(value: float) -> str:
    """As short as it can be told.

    >>> number(0.30000000000000004), number(-2.0), number(12500.0)
    ('0.3', '\N{MINUS SIGN}2', '12500')
    """
    text = f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text


def spread(values: Floats, margin: float = 0.05) -> tuple[float, float]:
    """A range that holds all values with some room at both ends; never empty.

    >>> spread(np.asarray([0.0, 10.0])), spread(np.asarray([3.0, 3.0]))
    ((-0.5, 10.5), (2.5, 3.5))
    """
    low, high = float(np.min(values)), float(np.max(values))
    if high - low <= 1e-9 * max(1.0, abs(high)):
        return low - 0.5, high + 0.5
    room = margin * (high - low)
    return low - room, high + room


def tick_values(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside a range, 1, 2 or 5 times a power of ten apart.

    >>> tick_values(-0.3, 2.2), tick_values(0, 1000)
    ([0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if (high - low) / (s * power) <= most - 0.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * k, 12) + 0.0 for k in range(first, last + 1)]
