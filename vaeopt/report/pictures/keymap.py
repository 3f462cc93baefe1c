"""Where each component sits on the image."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.report.figures import map_info
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.pictures.canvas import GREY, INK, SMALL, Canvas, greys, scaled, zoom_of
from vaeopt.report.pictures.words import LEGEND_PX, headed, legend, shares_of

__all__ = ["bar_length", "draw_map"]

_EDGE = 512  # of the image [px]
_LEFT, _TOP = 12, 50
_DARK, _BRIGHT = 0.15, 0.95  # greys of the image: colours stand out from both ends
_GREYS = 24  # steps of grey: the noise of a scan is most of the bytes of its picture


def bar_length(width_px: int, pixel_size_nm: float | None) -> tuple[float, str]:
    """A round length of about a quarter of the width, in pixels and in words.

    >>> bar_length(256, 7.8125), bar_length(256, None), bar_length(1024, 10.0)
    ((64.0, '500 nm'), (50.0, '50 px'), (200.0, '2 \N{MICRO SIGN}m'))
    """
    unit = 1.0 if pixel_size_nm is None else pixel_size_nm
    longest = 0.25 * width_px * unit
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    if pixel_size_nm is None:
        return length, f"{length:g} px"
    text = f"{length:g} nm" if length < 1000 else f"{length / 1000:g} \N{MICRO SIGN}m"
    return length / unit, text


class _ByImage:
    """A micrograph that is the same if its content is."""

    def __init__(self, micrograph: Micrograph) -> None:
        self.micrograph = micrograph

    def __hash__(self) -> int:
        return hash(self.micrograph.sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByImage) and other.micrograph.sha256 == self.micrograph.sha256


@functools.lru_cache(maxsize=1)  # all trials of a study show the same image
def _background(image: _ByImage) -> NDArray[np.uint8]:
    pixels = scaled(image.micrograph.pixels, _EDGE)
    steps = np.rint(pixels * _GREYS) / _GREYS
    return greys(steps, _DARK, _BRIGHT)


def draw_map(run: WorkflowRun) -> Canvas:
    """Key points on the image, row 0 at the top; those that were filtered are hollow and grey."""
    info, shares = map_info(run), shares_of(run)
    background = _background(_ByImage(run.micrograph))
    rows, columns = background.shape
    needed = _TOP + 18 * (min(len(shares.components), 14) + 2) + 10
    canvas = Canvas(_LEFT + columns + 14 + LEGEND_PX, max(_TOP + rows + 36, needed))
    canvas.image(background, _LEFT, _TOP)
    zoom = zoom_of(max(info.pixels.shape), _EDGE)
    # Pixel centres are at integers, the image begins half a pixel before the first.
    xy = (info.yx_px[:, ::-1] + 0.5) * zoom + [_LEFT, _TOP]
    canvas.markers(xy[~info.kept], 2.5, "white", edge=INFEASIBLE, edge_width=1.0, hollow=True)
    for k in sorted(set(info.component[info.kept].tolist())):
        colour = component_colour(k) if k >= 0 else "white"
        canvas.markers(
            xy[info.kept & (info.component == k)], 3.2, colour, edge="white", edge_width=0.7
        )
    length, text = bar_length(info.pixels.shape[1], info.pixel_size_nm)
    bottom = _TOP + rows
    canvas.rectangle(_LEFT, bottom + 10, length * zoom, 5, INK)
    canvas.text(_LEFT + length * zoom + 8, bottom + 12.5, text, size=SMALL, anchor="lm")
    headed(canvas, "Key points on the image", run)
    legend(canvas, _LEFT + columns + 10, _TOP, shares)
    if shares.failure:
        canvas.text(_LEFT + columns + 10, _TOP + 24, "no components", size=SMALL, colour=GREY)
    return canvas
