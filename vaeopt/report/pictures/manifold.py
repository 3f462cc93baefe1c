"""What the decoder makes of a grid of latents."""

import math
from typing import NamedTuple

import numpy as np

from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.kernels.mixture import reference as mixtures
from vaeopt.report.figures.latents import best_pair
from vaeopt.report.palette import component_colour
from vaeopt.report.pictures.canvas import GREY, SMALL, Canvas, greys, scaled
from vaeopt.report.pictures.plane import number
from vaeopt.report.pictures.words import LEGEND_PX, headed, legend, shares_of
from vaeopt.stages.vae import decode

__all__ = ["ManifoldInfo", "draw_manifold", "manifold_info"]

_DECODED_PIXELS = 16_000  # of the whole grid: a spatial decoder needs some 20 ms for them
_LEAST, _MOST = 5, 9  # tiles along an axis
_ALONE = 11  # tiles of a single latent
_ENDS = (2.5, 97.5)  # percentiles that the grid spans
_WIDE = 400  # of the grid [px]
_LEFT, _TOP, _GAP = 64, 52, 3
_LONG = 5  # characters that fit below a tile


class ManifoldInfo(NamedTuple):
    """A grid over two latents; the second goes up."""

    first: int
    second: int
    x: Floats
    """(columns,) values of the first latent"""
    y: Floats
    """(rows,) values of the second, falling; one row of a single latent"""
    tiles: Floats
    """(rows, columns, window, window) decoded, in [0, 1]"""
    component: Ints
    """(rows, columns) most probable component there; -1 without a mixture"""


def manifold_info(run: WorkflowRun) -> ManifoldInfo:
    """Decode a grid between the 2.5th and 97.5th percentiles of two latents.

    The grid lies in the plane of the scatter. Other latents are held at their medians, and the
    pose is upright and centred. Large windows have fewer tiles.
    """
    kept = run.mixture.kept
    z = run.latents.z_mean[kept] if kept.any() else run.latents.z_mean
    first, second = best_pair(run)
    alone = first == second
    n = int(np.clip(_DECODED_PIXELS**0.5 / run.vae.window_px, _LEAST, _MOST))
    x = _values(z[:, first], _ALONE if alone else n)
    y = np.median(z[:, second], keepdims=True) if alone else _values(z[:, second], n)[::-1]
    grid = np.broadcast_to(np.median(z, axis=0), (len(y), len(x), z.shape[1])).copy()
    if not alone:
        grid[..., second] = y[:, None]
    grid[..., first] = x[None, :]
    points = grid.reshape(-1, z.shape[1])
    tiles = decode(run.vae, points)
    return ManifoldInfo(
        first=first,
        second=second,
        x=x,
        y=y,
        tiles=tiles.reshape(len(y), len(x), *tiles.shape[1:]),
        component=_components(run, points).reshape(len(y), len(x)),
    )


def _values(z: Floats, n: int) -> Floats:
    low, high = np.percentile(z, _ENDS)
    return np.linspace(low, high, n)


def _components(run: WorkflowRun, points: Floats) -> Ints:
    mixture, best = run.mixture, run.mixture.best
    if best is None:
        return np.full(len(points), -1)
    there = (points - mixture.shift) @ mixture.transform.T
    joint = mixtures.log_joint(there, best.weights, best.means, best.covariances)
    return np.asarray(joint.argmax(axis=1))


def draw_manifold(run: WorkflowRun) -> Canvas:
    """Tiles with a frame in the colour of the component that is most probable there."""
    info, shares = manifold_info(run), shares_of(run)
    rows, columns = info.component.shape
    alone = info.first == info.second
    tiles = greys(scaled(info.tiles, _WIDE // columns - 2 * _GAP))
    edge = tiles.shape[-1]
    cell = edge + 2 * _GAP
    bottom = _TOP + rows * cell
    # As many as the legend has lines.
    height = max(bottom + 46, _TOP + 18 * (min(len(shares.components), 14) + 2) + 10)
    canvas = Canvas(_LEFT + columns * cell + 20 + LEGEND_PX, height)
    for i in range(rows):
        for j in range(columns):
            x, y, k = _LEFT + j * cell + _GAP, _TOP + i * cell + _GAP, int(info.component[i, j])
            canvas.rectangle(x - 2, y - 2, edge + 4, edge + 4, component_colour(k))
            canvas.image(tiles[i, j], x, y)
    for j, text in enumerate(_labels(info.x)):
        canvas.text(
            _LEFT + (j + 0.5) * cell, bottom + 4, text, size=SMALL, anchor="mt", colour=GREY
        )
    canvas.text(_LEFT + columns * cell / 2, bottom + 22, f"z{info.first + 1}", anchor="mt")
    if not alone:
        for i, text in enumerate(_labels(info.y)):
            canvas.text(
                _LEFT - 6, _TOP + (i + 0.5) * cell, text, size=SMALL, anchor="rm", colour=GREY
            )
        canvas.text(14, _TOP + rows * cell / 2, f"z{info.second + 1}", upright=True)
    others = run.latents.latent_dim - (1 if alone else 2)
    more = "" if others <= 0 else f"; {others} other{'s' if others > 1 else ''} at the median"
    headed(canvas, f"Decoded latents{more}", run)
    left = _LEFT + columns * cell + 14
    if len(shares.components):
        legend(canvas, left, _TOP, shares._replace(filtered=0.0))
    return canvas


def _labels(values: Floats) -> list[str]:
    """As many digits as tell neighbours apart; every second one if they are long."""
    step = abs(float(values[-1] - values[0])) / max(1, len(values) - 1)
    digits = 1 - math.floor(math.log10(step)) if step > 0 else 2
    texts = [number(round(float(value), digits) + 0.0) for value in values]
    long = any(len(text) > _LONG for text in texts)
    return ["" if long and place % 2 else text for place, text in enumerate(texts)]
