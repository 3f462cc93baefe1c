"""Latents of all patches: a scatter of two with the components, or a histogram of one."""

from typing import NamedTuple

import numpy as np

from vaeopt.core.types import Bools, Floats, Ints, Mixture, WorkflowRun
from vaeopt.report.figures import LatentsInfo, latents_info
from vaeopt.report.figures.latents import best_pair
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.pictures.canvas import GREY, INK, SMALL, Canvas
from vaeopt.report.pictures.plane import Plane, spread
from vaeopt.report.pictures.words import LEGEND_PX, headed, legend, shares_of

__all__ = [
    "HistogramInfo",
    "draw_latents",
    "histogram_info",
]

_BINS = 40
_BOX = (64, 52, 380, 316)  # left, top, width, height [px]
_SIZE = (_BOX[0] + _BOX[2] + 20 + LEGEND_PX, _BOX[1] + _BOX[3] + 52)


class HistogramInfo(NamedTuple):
    """One latent."""

    edges: Floats
    """(bins + 1,)"""
    components: Ints
    counts: Ints
    """(components, bins) patches that passed the density filter"""
    filtered: Ints
    """(bins,) the others"""
    bars: Floats
    """(K, 3): mean of each component, and 2 sigma below and above it"""


def histogram_info(run: WorkflowRun) -> HistogramInfo:
    """Patches by the value of the first latent, each component on its own."""
    z, mixture = run.latents.z_mean[:, 0], run.mixture
    edges = np.linspace(*spread(z, 0.0), _BINS + 1)

    def count(mask: Bools) -> Ints:
        return np.histogram(z[mask], edges)[0]

    found = np.unique(mixture.component[mixture.kept])
    counts = [count(mixture.kept & (mixture.component == k)) for k in found]
    return HistogramInfo(
        edges=edges,
        components=found,
        counts=np.asarray(counts, np.int64).reshape(len(found), _BINS),
        filtered=count(~mixture.kept),
        bars=_bars(mixture),
    )


def _bars(mixture: Mixture) -> Floats:
    if mixture.best is None:
        return np.zeros((0, 3))
    scale = 1 / mixture.transform[0, 0]
    means = mixture.shift[0] + scale * mixture.best.means[:, 0]
    sds = np.abs(scale) * np.sqrt(mixture.best.covariances[:, 0, 0])
    return np.column_stack([means, means - 2 * sds, means + 2 * sds])


def draw_latents(run: WorkflowRun) -> Canvas:
    """The picture, of one latent or of two."""
    canvas = Canvas(*_SIZE)
    d, shares = run.latents.latent_dim, shares_of(run)
    if d == 1:
        _histogram(canvas, histogram_info(run))
        title = "The latent, by component"
    else:
        first, second = best_pair(run)
        _scatter(canvas, latents_info(run, first, second))
        title = "Latents"
        if d > 2:
            several = len(shares.components) > 1
            why = "tell components best apart" if several else "carry most information"
            title = f"Latents z{first + 1} and z{second + 1} of {d}: they {why}"
    headed(canvas, title, run)
    left = _BOX[0] + _BOX[2] + 14
    legend(canvas, left, _BOX[1], shares, core=d > 1 and bool(run.mixture.core.any()))
    if shares.failure:
        canvas.text(left, _BOX[1] + 24, "no components", size=SMALL, colour=GREY)
    return canvas


def _scatter(canvas: Canvas, info: LatentsInfo) -> None:
    plane = Plane(*_BOX, _range(info, 0), _range(info, 1))
    canvas.markers(plane.place(info.z[~info.kept]), 2, INFEASIBLE, alpha=0.8)
    for k in sorted(set(info.component[info.kept].tolist())):
        mask = info.kept & (info.component == k)
        colour = component_colour(k) if k >= 0 else GREY
        canvas.markers(plane.place(info.z[mask & ~info.core]), 2.5, colour, alpha=0.7)
        core = plane.place(info.z[mask & info.core])
        canvas.markers(core, 3, colour, edge=INK, edge_width=0.8)
    for k, outline in enumerate(info.ellipses):
        inside = plane.place(outline)
        canvas.line(inside, "white", 4, alpha=0.8)
        canvas.line(inside, component_colour(k), 2)
    plane.frame(canvas, info.axes[0], info.axes[1])


def _range(info: LatentsInfo, axis: int) -> tuple[float, float]:
    """All points, and the ellipses as far as they do not shrink the points."""
    low, high = spread(info.z[:, axis])
    ends = np.concatenate([np.asarray([low, high]), *(e[:, axis] for e in info.ellipses)])
    room = 0.2 * (high - low)
    least, most = float(ends.min()), float(ends.max())
    return min(low, max(least, low - room)), max(high, min(most, high + room))


def _histogram(canvas: Canvas, info: HistogramInfo) -> None:
    highest = float((info.counts.sum(axis=0) + info.filtered).max())
    ends = (float(info.edges[0]), float(info.edges[-1]))
    plane = Plane(*_BOX, ends, (0.0, 1.12 * max(highest, 1.0)))
    base = np.zeros(_BINS)
    layers = [*zip(info.components.tolist(), info.counts, strict=True), (None, info.filtered)]
    for k, counts in layers:
        colour = INFEASIBLE if k is None else component_colour(k) if k >= 0 else GREY
        corners = plane.place(np.column_stack([info.edges[:-1], base + counts]))
        ends_px = plane.place(np.column_stack([info.edges[1:], base]))
        for (x, y), (x_end, y_end), n in zip(corners, ends_px, counts, strict=True):
            if n:
                canvas.rectangle(x, y, x_end - x, y_end - y, colour)
        base = base + counts
    for k, (mean, low, high) in enumerate(info.bars):
        y = plane.y[1] * (0.985 - 0.02 * (k % 4))
        places = plane.place(np.asarray([[low, y], [high, y], [mean, y]]))
        canvas.line(places[:2], component_colour(k), 2)
        canvas.markers(places[2:], 4, component_colour(k))
    plane.frame(canvas, "z1", "patches")
