"""Small pictures of latents, coloured by component: pure numpy, a few kilobytes as PNG."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.plane import telling_plane
from vaeopt.study.results.latents import StoredLatents

__all__ = [
    "Picture",
    "ThumbnailInfo",
    "draw_thumbnail",
    "in_grey",
    "png_uri",
    "thumbnail_info",
]

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
WIDTH_PX, HEIGHT_PX = 320, 240
_PAPER, _AXIS, _FILTERED = 0, 1, 2
_FIRST = 3  # colours of components, then their darker twins for outlines
_COLOURS = 14
_MARGIN = 0.04
_BINS = 40


class ThumbnailInfo(NamedTuple):
    """What a small picture shows: one or two latents of every key point."""

    axes: tuple[int, ...]
    """which latents, from 0: two of them, or the only one"""
    z: Floats
    """(n, len(axes))"""
    component: Ints
    kept: Bools
    ellipses: list[Floats]
    """per component (points, 2): 2 sigma; empty for one latent"""


class Picture(NamedTuple):
    """A picture of few colours."""

    places: Pixels
    """(height, width) into the colours"""
    colours: Pixels
    """(n, 3) red, green, blue"""

    @property
    def rgb(self) -> Pixels:
        """(height, width, 3)."""
        return np.asarray(self.colours[self.places], np.uint8)


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _palette() -> Pixels:
    bright = np.asarray([_rgb(component_colour(k)) for k in range(_COLOURS)], np.float64)
    table = [[255, 255, 255], [222, 226, 230], _rgb(INFEASIBLE), *bright, *(0.6 * bright)]
    return np.asarray(np.round(np.asarray(table, np.float64)), np.uint8)


def thumbnail_info(latents: StoredLatents) -> ThumbnailInfo:
    """Points and ellipses of one trial in the plane that tells most."""
    with np.errstate(all="ignore"):  # a training that diverged has a picture, too
        signal = latents.z_mean.var(axis=0) / (latents.z_std**2).mean(axis=0)
        pair = telling_plane(latents.z_mean, latents.component, latents.kept, signal)
    axes = pair if latents.latent_dim > 1 else (0,)
    ellipses: list[Floats] = []
    if len(axes) == 2:
        angle = np.linspace(0, 2 * np.pi, 361)
        circle = np.stack([np.cos(angle), np.sin(angle)])
        for mean, covariance in zip(latents.means, latents.covariances, strict=True):
            spread = covariance[np.ix_(axes, axes)]
            outline = 2 * np.linalg.cholesky(spread) @ circle
            ellipses.append(outline.T + mean[list(axes)])
    return ThumbnailInfo(
        axes, latents.z_mean[:, list(axes)], latents.component, latents.kept, ellipses
    )


def draw_thumbnail(
    info: ThumbnailInfo, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> Picture:
    """Dots by component with their ellipses; one latent as a histogram stacked by component.

    Points that the density filter took out lie below, in grey. The first latent of the plane runs
    to the right, the second one up. A component without number (no fit) is grey, too.
    """
    index = np.full((height_px, width_px), _PAPER, np.uint8)
    good = np.asarray(np.isfinite(info.z).all(axis=1), np.bool_)
    if good.any():
        if len(info.axes) == 1:
            _histogram(index, info, good)
        else:
            _scatter(index, info, good)
    return Picture(index, _palette())


def _scatter(index: Pixels, info: ThumbnailInfo, good: Bools) -> None:
    height, width = index.shape
    inner = info.kept & good
    shown = np.vstack([info.z[inner if inner.any() else good], *info.ellipses])
    low, high = shown.min(axis=0), shown.max(axis=0)
    room = np.maximum(high - low, 1e-12)
    low, room = low - _MARGIN * room, (1 + 2 * _MARGIN) * room

    def places(points: Floats) -> tuple[Ints, Ints]:
        unit = np.clip((points - low) / room, -1.0, 2.0)  # far outliers must not overflow
        across = np.round(unit[:, 0] * (width - 1)).astype(np.int64)
        down = np.round((1 - unit[:, 1]) * (height - 1)).astype(np.int64)
        return down, across

    zero = places(np.zeros((1, 2)))
    if 0 <= zero[0][0] < height:
        index[zero[0][0], :] = _AXIS
    if 0 <= zero[1][0] < width:
        index[:, zero[1][0]] = _AXIS
    radius = 3 if good.sum() < 3000 else 2
    colour = np.where(info.component < 0, _FILTERED, _FIRST + info.component % _COLOURS)
    out = good & ~info.kept
    _stamp(index, *places(info.z[out]), np.full(int(out.sum()), _FILTERED), radius - 1)
    _stamp(index, *places(info.z[inner]), colour[inner], radius)
    for k, ellipse in enumerate(info.ellipses):
        steps = np.linspace(0, 1, 4, endpoint=False)[:, None, None]
        dense = (ellipse[:-1] + steps * (ellipse[1:] - ellipse[:-1])).reshape(-1, 2)
        dark = np.full(len(dense), _FIRST + _COLOURS + k % _COLOURS)
        _stamp(index, *places(dense), dark, 1)


def _stamp(index: Pixels, row: Ints, column: Ints, colour: Ints, radius: int) -> None:
    """Discs at these places; later points lie above earlier ones."""
    height, width = index.shape
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            if down**2 + across**2 > radius**2 + 1:
                continue
            y, x = row + down, column + across
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            index[y[inside], x[inside]] = colour[inside]


def _histogram(index: Pixels, info: ThumbnailInfo, good: Bools) -> None:
    height, width = index.shape
    z = info.z[good, 0]
    group = np.where(info.kept & (info.component >= 0), info.component, -1)[good]
    low, high = float(z.min()), float(z.max())
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    groups = [*range(int(group.max()) + 1), -1]
    counts = np.stack([np.histogram(z[group == g], edges)[0] for g in groups])
    tops = np.cumsum(counts, axis=0) / max(int(counts.sum(axis=0).max()), 1)
    bars = np.minimum(np.arange(width) * _BINS // width, _BINS - 1)
    up = (height - np.arange(height)) / height * (1 + _MARGIN)
    for g, top in reversed(list(zip(groups, tops, strict=True))):
        colour = _FILTERED if g < 0 else _FIRST + g % _COLOURS
        index[up[:, None] <= top[bars][None, :]] = colour
    index[-1, :] = _AXIS


def in_grey(picture: Picture) -> Picture:
    """The same without colours: of a trial that collapsed."""
    grey = picture.colours.astype(np.float64) @ np.asarray([0.3, 0.59, 0.11])
    pale = np.round(255 - (255 - grey) * 0.55).astype(np.uint8)
    return Picture(picture.places, np.repeat(pale[:, None], 3, axis=1))


def png_uri(picture: Picture) -> str:
    """The picture as a data URI."""
    image = Image.fromarray(picture.places, mode="P")
    image.putpalette(picture.colours.tobytes())
    held = io.BytesIO()
    image.save(held, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
