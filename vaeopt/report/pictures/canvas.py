"""A sheet of pixels: anti-aliased shapes by matplotlib's Agg, text by Pillow.

Shapes go straight to the renderer: a figure of matplotlib with axes takes some 40 ms, which a
picture of every trial cannot afford, the same shapes and words take 10.
"""

import functools
from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from vaeopt.core.types import Floats
from vaeopt.report.pictures.png import png

__all__ = ["GREY", "INK", "SMALL", "Canvas", "greys", "scaled", "zoom_of"]

INK = "#222222"
GREY = "#777777"
SMALL, _NORMAL = 11, 13
_DPI = 72  # a width of 1 is a pixel

Anchor = Literal["lt", "lm", "mt", "mm", "mb", "rm", "rt"]
"""where a text stands to its point: left, middle or right; top, middle or bottom"""


class _Words(NamedTuple):
    x: float
    y: float
    text: str
    size: int
    anchor: Anchor
    colour: str
    upright: bool


class Canvas:
    """A white sheet; positions are (x, y) in pixels from the upper left corner.

    Args:
        width: of the sheet [px].
        height: of the sheet [px].
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = int(width), int(height)
        make: Any = RendererAgg  # matplotlib's back ends have no types
        self._renderer = make(self.width, self.height, _DPI)
        self._held: NDArray[np.uint8] = np.asarray(self._renderer.buffer_rgba())
        self._held[:] = 255
        self._words: list[_Words] = []

    def image(self, pixels: NDArray[np.uint8], x: int, y: int) -> None:
        """Put pixels (rows, columns) or (rows, columns, 3) with their upper left corner there."""
        rows, columns = pixels.shape[:2]
        colour = pixels if pixels.ndim == 3 else pixels[..., None]
        self._held[y : y + rows, x : x + columns, :3] = colour

    def markers(
        self,
        xy: Floats,
        radius: float,
        colour: str,
        *,
        alpha: float = 1.0,
        edge: str | None = None,
        edge_width: float = 0.0,
        hollow: bool = False,
    ) -> None:
        """Discs at (n, 2), or rings if hollow."""
        if len(xy) == 0:
            return
        context = self._renderer.new_gc()
        context.set_linewidth(edge_width)
        context.set_foreground(edge or colour)
        if hollow and alpha < 1:
            context.set_alpha(alpha)
        fill = None if hollow else to_rgba(colour, alpha)
        circle = Path.unit_circle()
        path = Path(self._up(xy))
        scale = Affine2D().scale(radius)
        self._renderer.draw_markers(context, circle, scale, path, IdentityTransform(), fill)

    def line(self, xy: ArrayLike, colour: str, width: float, *, alpha: float = 1.0) -> None:
        """A polygon line through (n, 2)."""
        context = self._renderer.new_gc()
        context.set_linewidth(width)
        context.set_foreground(to_rgba(colour, alpha), isRGBA=True)
        path = Path(self._up(np.asarray(xy, np.float64)))
        self._renderer.draw_path(context, path, IdentityTransform())

    def rectangle(
        self, x: float, y: float, width: float, height: float, colour: str, *, line: float = 0.0
    ) -> None:
        """Filled, or its outline if a line width is given."""
        corners = np.asarray(
            [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]], np.float64
        )
        if line:
            self.line(corners, colour, line)
            return
        context = self._renderer.new_gc()
        context.set_linewidth(0)
        fill = to_rgba(colour)
        self._renderer.draw_path(context, Path(self._up(corners)), IdentityTransform(), fill)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = _NORMAL,
        anchor: Anchor = "lt",
        colour: str = INK,
        upright: bool = False,
    ) -> None:
        """Words on top of everything; ``upright`` turns them to be read from below."""
        self._words.append(_Words(x, y, text, size, anchor, colour, upright))

    def sheet(self) -> Image.Image:
        """What was drawn."""
        sheet = Image.fromarray(np.ascontiguousarray(self._held[..., :3]))
        pen = ImageDraw.Draw(sheet)
        for words in self._words:
            if words.upright:
                _turned(sheet, words)
            else:
                pen.text(
                    (words.x, words.y),
                    words.text,
                    fill=words.colour,
                    font=_font(words.size),
                    anchor=words.anchor,
                )
        return sheet

    def png(self) -> bytes:
        """As a PNG."""
        return png(np.asarray(self.sheet()))

    def _up(self, xy: Floats) -> Floats:
        """Agg counts rows from below."""
        return np.column_stack([xy[:, 0], self.height - xy[:, 1]])


def _turned(sheet: Image.Image, words: _Words) -> None:
    _, top, right, bottom = _font(words.size).getbbox(words.text)
    size = (int(right) + 2, int(bottom - top) + 4)
    stamp = Image.new("L", size)
    ImageDraw.Draw(stamp).text((0, 2 - top), words.text, fill=255, font=_font(words.size))
    stamp = stamp.transpose(Image.Transpose.ROTATE_90)
    place = (round(words.x - stamp.width / 2), round(words.y - stamp.height / 2))
    sheet.paste(words.colour, (*place, place[0] + stamp.width, place[1] + stamp.height), stamp)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The one that comes with matplotlib: the same on every machine, with Greek and micro signs.
    path = FilePath(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def greys(pixels: Floats, low: float = 0.0, high: float = 1.0) -> NDArray[np.uint8]:
    """Pixels in [0, 1] as grey values; black is drawn as ``low`` and white as ``high``.

    >>> greys(np.asarray([0.0, 0.5, 2.0])).tolist()
    [0, 128, 255]
    """
    shown = low + (high - low) * np.clip(np.nan_to_num(pixels), 0.0, 1.0)
    return np.asarray(np.rint(255 * shown), np.uint8)


def scaled(pixels: Floats, target_px: int) -> Floats:
    """Pictures (..., rows, columns) whose longer edge is near the target, by a whole factor.

    Small ones are repeated, so that a pixel stays a square; of large ones blocks are averaged, and
    what is left over at the far edges is cut off.

    >>> scaled(np.zeros((3, 13, 13)), 40).shape, scaled(np.zeros((1000, 900)), 500).shape
    ((3, 39, 39), (500, 450))
    """
    zoom = zoom_of(max(pixels.shape[-2:]), target_px)
    if zoom >= 1:
        factor = round(zoom)
        return np.repeat(np.repeat(pixels, factor, axis=-1), factor, axis=-2)
    factor = round(1 / zoom)
    rows, columns = pixels.shape[-2] // factor, pixels.shape[-1] // factor
    cut = pixels[..., : rows * factor, : columns * factor]
    blocks = cut.reshape(*cut.shape[:-2], rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(-3, -1)))


def zoom_of(longer_px: int, target_px: int) -> float:
    """Pixels of the sheet per pixel of the image: a whole number, or one over a whole number.

    >>> zoom_of(13, 40), zoom_of(1000, 500), zoom_of(1001, 500)
    (3.0, 0.5, 0.3333333333333333)
    """
    if longer_px <= target_px:
        return float(target_px // longer_px)
    return 1 / -(-longer_px // target_px)
