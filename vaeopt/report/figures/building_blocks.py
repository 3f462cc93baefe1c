"""What the components of a trial look like, decoded and in the image."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, GaussianMixtureFit, Ints, WorkflowRun
from vaeopt.report.figures.raster import add_picture, stretched
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, styled
from vaeopt.stages.vae import align, decode

__all__ = [
    "ComponentsInfo",
    "components_caption",
    "components_frame",
    "components_info",
    "draw_components",
]

_LEAST_SEEN = 0.1  # share of the core patches that must reach a pixel of their mean
_IN_LINE = 10  # components side by side
_WIDE = 110  # room of a picture [px]
_WORDS = 0.75  # room for the words below the components, in pictures
_BETWEEN = 1.2  # the same where another line follows, for narrow pages
_UNSEEN = "#CFE3F5"


class ComponentsInfo(NamedTuple):
    """The centre of each component and the patches at its core."""

    decoded: Floats
    """(K, window, window) decoded centres in [0, 1]"""
    core_mean: Floats
    """(K, window, window) mean of the core patches without their pose, in the frame of the decoded
    centre; NaN where less than a tenth of them reach"""
    typical: Floats
    """(K, window, window) the core patch nearest to the centre, as it is in the image; NaN where
    there is none"""
    match: Floats
    """(K,) correlation of the pixels of decoded centre and mean; NaN where it is not known"""
    share: Floats
    """(K,) of all key points"""
    members: Ints
    """(K,) key points"""
    cores: Ints
    invariances: tuple[str, ...]
    """whose poses are taken away from the patches before their mean"""
    window_px: int
    pixel_size_nm: float | None


def components_info(run: WorkflowRun) -> ComponentsInfo:
    """Decoded centre of each component, the mean of its core patches, and one of them."""
    best, size = run.mixture.best, run.vae.window_px
    count = 0 if best is None else best.n_components
    pictures = [np.full((count, size, size), np.nan) for _ in range(3)]
    decoded, core_mean, typical = pictures
    match = np.full(count, np.nan)
    own = np.asarray([run.mixture.component == k for k in range(count)], bool)
    own = own.reshape(count, len(run.latents))
    cores = own & run.mixture.core
    if best is not None:
        centres = run.mixture.shift + best.means @ np.linalg.inv(run.mixture.transform).T
        decoded[:] = decode(run.vae, centres)
        for k, core in enumerate(cores):
            if core.any():
                core_mean[k] = _mean(align(run.vae, run.patches, run.latents, core))
                typical[k] = run.patches.pixels[_nearest(run, best, k, core)]
                match[k] = _correlation(decoded[k], core_mean[k])
    return ComponentsInfo(
        decoded=decoded,
        core_mean=core_mean,
        typical=typical,
        match=match,
        share=own.mean(axis=1),
        members=own.sum(axis=1),
        cores=cores.sum(axis=1),
        invariances=tuple(run.vae.config["invariances"]),
        window_px=size,
        pixel_size_nm=run.micrograph.pixel_size_nm,
    )


def _mean(patches: Floats) -> Floats:
    """Mean over the patches that reach a pixel; NaN where less than a tenth of them do."""
    seen = np.isfinite(patches).sum(axis=0)
    known = (seen > 0) & (seen >= _LEAST_SEEN * len(patches))
    return np.where(known, np.nansum(patches, axis=0) / np.maximum(seen, 1), np.nan)


def _nearest(run: WorkflowRun, best: GaussianMixtureFit, k: int, core: Bools) -> int:
    """The core patch whose latents are nearest to the centre, by the covariance of component k."""
    rows = np.flatnonzero(core)
    away = (run.latents.z[rows] - run.mixture.shift) @ run.mixture.transform.T - best.means[k]
    far = (away * np.linalg.solve(best.covariances[k], away.T).T).sum(axis=1)
    return int(rows[far.argmin()])


def _correlation(first: Floats, second: Floats) -> float:
    known = np.isfinite(second)
    a, b = first[known], second[known]
    if len(a) < 2 or not a.std() > 0 or not b.std() > 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def components_caption(info: ComponentsInfo) -> str:
    """What the three rows are, and what was done to the patches."""
    done = {
        "rotation": "turned",
        "translation": "shifted",
        "scale": "resized",
    }
    verbs = [done.get(name, "transformed") for name in info.invariances]
    middle = "the mean of the patches at its core"
    if verbs:
        told = " and ".join([", ".join(verbs[:-1]), verbs[-1]] if verbs[1:] else verbs)
        middle += f", each {told} back by the pose that the encoder gave it"
    unseen = ""
    if np.isnan(info.core_mean[info.cores > 0]).any():
        unseen = " Pale blue: fewer than a tenth of the patches reach there."
    return (
        f"Above what the decoder makes of the centre of a component, below it {middle}. "
        f"r is the correlation of the two: near 1 the picture is what the image shows.{unseen} The "
        "last row is the core patch nearest to the centre, as it lies in the image; n counts key "
        "points."
    )


def components_frame(info: ComponentsInfo) -> pd.DataFrame:
    """One row per component and pixel."""
    k, size = len(info.share), info.window_px
    component, row, column = (
        index.ravel() for index in np.meshgrid(range(k), range(size), range(size), indexing="ij")
    )
    return pd.DataFrame(
        {
            "component": component,
            "share": info.share[component],
            "key points": info.members[component],
            "core points": info.cores[component],
            "correlation": info.match[component],
            "row_px": row,
            "column_px": column,
            "decoded": info.decoded.ravel(),
            "core mean": info.core_mean.ravel(),
            "nearest core patch": info.typical.ravel(),
        }
    )


def draw_components(info: ComponentsInfo) -> go.Figure:
    """A column per component, framed in its colour: decoded, mean of the core, one patch."""
    count = len(info.share)
    if not count:
        return blank("no mixture could be fitted: there are no components")
    columns = min(count, _IN_LINE)
    lines = -(-count // columns)
    block = 3 + _BETWEEN
    bottom = -(lines - 1) * block - 3 - _WORDS
    figure = go.Figure()
    rows = stretched(info.decoded, info.core_mean, info.typical)
    for k in range(count):
        left, top = k % columns, -(k // columns) * block
        for i, pictures in enumerate(rows):
            _add_tile(figure, pictures[k], left, top - i, component_colour(k))
        figure.add_annotation(
            x=left + 0.5, y=top - 3, text=_words(info, k), showarrow=False, yanchor="top"
        )
    # A trace, because a figure without one has no axes.
    figure.add_scatter(
        x=[0, columns],
        y=[bottom, 0],
        mode="markers",
        marker={"opacity": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    size = f"{info.window_px} px"
    if info.pixel_size_nm is not None:
        size += f" = {info.window_px * info.pixel_size_nm:.3g} nm"
    title = f"component (each picture is {size} wide)"
    styled(figure, title, height=round(-bottom * _WIDE + 90))
    bare = {"showgrid": False, "zeroline": False, "ticks": "", "showline": False}
    # The title above: on a narrow page the words below take more room than is left for them.
    figure.update_xaxes(
        range=[0, columns], side="top", showticklabels=False, constrain="domain", **bare
    )
    names = ["decoded<br>centre", "mean of<br>its core", "one core<br>patch"]
    if info.invariances:
        names[1] += ",<br>aligned"
    starts = [-line * block for line in range(lines)]
    figure.update_yaxes(
        tickvals=[start - i - 0.5 for start in starts for i in range(3)],
        ticktext=names * lines,
        range=[bottom, 0],
        scaleanchor="x",
        constrain="domain",
        **bare,
    )
    return figure


def _words(info: ComponentsInfo, k: int) -> str:
    match = "" if np.isnan(info.match[k]) else f"<br>r = {info.match[k]:.2f}"
    return f"<b>{k}</b><br>{100 * info.share[k]:.0f} %<br>n = {info.members[k]}{match}"


def _add_tile(figure: go.Figure, picture: Floats, left: float, top: float, colour: str) -> None:
    """One picture in its frame, or words that there is none."""
    if np.isfinite(picture).any():
        add_picture(
            figure,
            picture,
            left=left + 0.04,
            top=top - 0.04,
            width=0.92,
            height=0.92,
            missing=_UNSEEN,
        )
    else:
        figure.add_annotation(x=left + 0.5, y=top - 0.5, text="no core<br>points", showarrow=False)
    figure.add_shape(
        type="rect",
        opacity=1,
        fillcolor="rgba(0,0,0,0)",
        x0=left + 0.04,
        x1=left + 0.96,
        y0=top - 0.96,
        y1=top - 0.04,
        line={"color": colour, "width": 3},
    )
