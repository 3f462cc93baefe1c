"""PNG files with one palette for all: greys, and the colours of components in several tints.

A palette that is made for each picture shifts colours, so that a component looks different from one
picture to the next, or takes 10 to 20 ms to find.
"""

import functools
import io

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from vaeopt.core.types import Floats
from vaeopt.report.palette import COMPONENTS

__all__ = ["palette", "png"]

_GREYS = 128
_TO_WHITE = (0.25, 0.5, 0.75)  # tints where the edge of a shape is smoothed
_TO_BLACK = (0.25, 0.5)


@functools.cache
def palette() -> NDArray[np.uint8]:
    """(n, 3) colours of a PNG: greys from black to white, those of components, their tints."""
    grey = np.linspace(0, 255, _GREYS)
    exact = 255 * np.asarray([to_rgb(colour) for colour in COMPONENTS])
    tints = [exact + share * (255 - exact) for share in _TO_WHITE]
    shades = [exact * (1 - share) for share in _TO_BLACK]
    greys = np.repeat(grey[:, None], 3, axis=1)
    return np.asarray(np.rint(np.concatenate([greys, exact, *tints, *shades])), np.uint8)


@functools.cache
def _nearest() -> NDArray[np.uint8]:
    """(32768,) index of the nearest colour, by five bits of red, green and blue."""
    levels = np.arange(32) * 8 + 3.5
    cells = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = palette().astype(np.float64)
    # |a - b|^2 without |a|^2, which is the same for all b.
    far: Floats = (colours**2).sum(axis=1) - 2 * cells @ colours.T
    found = np.asarray(far.argmin(axis=1), np.uint8)
    exact = palette()[_GREYS : _GREYS + len(COMPONENTS)]
    found[_cell(exact)] = np.arange(_GREYS, _GREYS + len(exact))
    return found


def _cell(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    red, green, blue = (rgb[..., i].astype(np.uint16) >> 3 for i in range(3))
    return np.asarray(red << 10 | green << 5 | blue)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (rows, columns, 3) as a file; greys are kept to one part in 128."""
    red, green, blue = (pixels[..., i] for i in range(3))
    index = np.asarray((red.astype(np.uint16) * (_GREYS - 1) + 127) // 255, np.uint8)
    coloured = (red != green) | (green != blue)
    index[coloured] = _nearest()[_cell(pixels[coloured])]
    picture = Image.fromarray(index, "P")
    picture.putpalette(palette().tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=4)  # 6: twice as long for a tenth less
    return out.getvalue()
