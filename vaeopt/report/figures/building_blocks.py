"""What the components of a trial look like, and the pictures between them."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.report.figures.latents import best_pair, latents_info
from vaeopt.report.figures.raster import add_picture, tiles
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, numbers, styled
from vaeopt.stages.vae import decode

__all__ = [
    "ComponentsInfo",
    "ManifoldInfo",
    "components_frame",
    "components_info",
    "draw_components",
    "draw_manifold",
    "manifold_frame",
    "manifold_info",
]

_SIDE = 11  # pictures along an edge of a manifold


class ComponentsInfo(NamedTuple):
    """The centre of each component and the patches at its core."""

    decoded: Floats
    """(K, window, window) decoded centres in [0, 1]"""
    core_mean: Floats
    """(K, window, window) mean patch of the core points; NaN where there is none"""
    share: Floats
    """(K,) of all key points"""
    members: Ints
    """(K,) key points"""
    cores: Ints
    window_px: int
    pixel_size_nm: float | None


class ManifoldInfo(NamedTuple):
    """Pictures that the decoder makes on a grid in the plane of two latents."""

    pictures: Floats
    """(rows, columns, window, window); the first row is at the largest second latent"""
    first: Floats
    """(columns,) values of the first latent"""
    second: Floats
    """(rows,) values of the second one, descending; empty where there is one latent"""
    axes: tuple[str, str]
    centres: Floats
    """(K, 2) of the components in that plane"""


def components_info(run: WorkflowRun) -> ComponentsInfo:
    """Decoded mean of each component and the mean patch of its core points."""
    best, size = run.mixture.best, run.vae.window_px
    if best is None:
        none = np.zeros((0, size, size))
        zero, nothing = np.zeros(0), np.zeros(0, np.int64)
        pixel = run.micrograph.pixel_size_nm
        return ComponentsInfo(none, none, zero, nothing, nothing, size, pixel)
    centres = run.mixture.shift + best.means @ np.linalg.inv(run.mixture.transform).T
    own = [run.mixture.component == k for k in range(best.n_components)]
    cores = [run.mixture.core & members for members in own]
    means = [
        run.patches.pixels[core].mean(axis=0) if core.any() else np.full((size, size), np.nan)
        for core in cores
    ]
    return ComponentsInfo(
        decoded=np.asarray(decode(run.vae, centres), np.float64),
        core_mean=np.asarray(means, np.float64),
        share=np.asarray([members.mean() for members in own]),
        members=np.asarray([members.sum() for members in own]),
        cores=np.asarray([core.sum() for core in cores]),
        window_px=size,
        pixel_size_nm=run.micrograph.pixel_size_nm,
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
            "row_px": row,
            "column_px": column,
            "decoded": info.decoded.ravel(),
            "core mean": info.core_mean.ravel(),
        }
    )


def draw_components(info: ComponentsInfo) -> go.Figure:
    """Decoded centres in the upper row, mean core patches below, framed in their colour."""
    count = len(info.share)
    if not count:
        return blank("no mixture could be fitted: there are no components")
    figure = go.Figure()
    names = []
    decoded, core_mean = _stretched(info.decoded, info.core_mean)
    for k in range(count):
        for y, picture in ((1, decoded[k]), (0, core_mean[k])):
            if np.isfinite(picture).all():
                add_picture(figure, picture, left=k + 0.04, top=y + 0.96, width=0.92, height=0.92)
            else:
                figure.add_annotation(
                    x=k + 0.5, y=y + 0.5, text="no core<br>points", showarrow=False
                )
            figure.add_shape(
                type="rect",
                opacity=1,
                fillcolor="rgba(0,0,0,0)",
                x0=k + 0.04,
                x1=k + 0.96,
                y0=y + 0.04,
                y1=y + 0.96,
                line={"color": component_colour(k), "width": 3},
            )
        names.append(f"<b>{k}</b><br>{100 * info.share[k]:.0f} %<br>{info.members[k]} key points")
    # A trace, because a figure without one has no axes.
    figure.add_scatter(
        x=[0, count],
        y=[0, 2],
        mode="markers",
        marker={"opacity": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    size = f"{info.window_px} px"
    if info.pixel_size_nm is not None:
        size += f" = {info.window_px * info.pixel_size_nm:.3g} nm"
    wide = 130
    styled(figure, f"component (each picture is {size} wide)", height=2 * wide + 120)
    figure.update_xaxes(
        tickvals=[k + 0.5 for k in range(count)],
        ticktext=names,
        range=[0, count],
        showgrid=False,
        ticks="",
        showline=False,
        constrain="domain",
    )
    figure.update_yaxes(
        tickvals=[1.5, 0.5],
        ticktext=["decoded<br>centre", "mean core<br>patch"],
        range=[0, 2],
        showgrid=False,
        ticks="",
        showline=False,
        scaleanchor="x",
        constrain="domain",
    )
    return figure


def _stretched(*pictures: Floats) -> list[Floats]:
    """The pictures on one common grey scale from black to white."""
    low = min(float(np.nanmin(held)) for held in pictures if np.isfinite(held).any())
    high = max(float(np.nanmax(held)) for held in pictures if np.isfinite(held).any())
    return [np.asarray((held - low) / (high - low or 1.0)) for held in pictures]


def manifold_info(run: WorkflowRun) -> ManifoldInfo:
    """Decoded pictures between the 2nd and 98th percentile of two latents, others at their mean."""
    z = run.latents.z_mean[run.mixture.kept] if run.mixture.kept.any() else run.latents.z_mean
    first, second = best_pair(run)
    flat = run.latents.latent_dim == 1
    low, high = np.percentile(z, (2, 98), axis=0)
    right = np.linspace(low[first], high[first], _SIDE)
    up = np.zeros(0) if flat else np.linspace(high[second], low[second], _SIDE)
    points = np.tile(z.mean(axis=0), (max(1, len(up)), _SIDE, 1))
    points[:, :, first] = right
    if not flat:
        points[:, :, second] = up[:, None]
    pictures = decode(run.vae, points.reshape(-1, z.shape[1]))
    info = latents_info(run, first, second)
    centres = [ellipse[:-1].mean(axis=0) for ellipse in info.ellipses]
    return ManifoldInfo(
        np.asarray(pictures).reshape(*points.shape[:2], *pictures.shape[1:]),
        right,
        up,
        info.axes,
        np.asarray(centres).reshape(-1, 2),
    )


def manifold_frame(info: ManifoldInfo) -> pd.DataFrame:
    """One row per picture: its latents and its mean, least and largest pixel."""
    rows, columns = info.pictures.shape[:2]
    flat = info.pictures.reshape(rows * columns, -1)
    first, second = info.axes
    held = {first: np.tile(info.first, rows)}
    if second:
        held[second] = np.repeat(info.second, columns)
    return pd.DataFrame(
        {**held, "mean": flat.mean(axis=1), "least": flat.min(axis=1), "largest": flat.max(axis=1)}
    )


def draw_manifold(info: ManifoldInfo) -> go.Figure:
    """The grid of pictures at its place in the latent plane, centres of components on it.

    A patch is square: so the axes count pictures, and their ticks say the latents.
    """
    figure = go.Figure()
    rows, columns, size = info.pictures.shape[:3]
    (pictures,) = _stretched(info.pictures)
    whole = tiles(pictures.reshape(-1, size, size), columns, gap=max(1, size // 12))
    add_picture(figure, whole, left=-0.5, top=rows - 0.5, width=columns, height=rows)
    x = _place(info.centres[:, 0], info.first)
    y: Floats = np.zeros(len(info.centres))
    if rows > 1:
        y = _place(info.centres[:, 1], info.second[::-1])
    inside = (np.abs(x - (columns - 1) / 2) < columns / 2) & (np.abs(y - (rows - 1) / 2) < rows / 2)
    known = np.flatnonzero(inside)
    figure.add_scatter(
        x=numbers(x[known]),
        y=numbers(y[known]),
        mode="markers+text",
        text=[f"<b>{k}</b>" for k in known],
        textfont={"size": 12, "color": "black"},
        marker={
            "size": 22,
            "color": [component_colour(k) for k in known.tolist()],
            "line": {"width": 2, "color": "white"},
        },
        hovertemplate="centre of component %{text}<extra></extra>",
        showlegend=False,
    )
    styled(figure, height=680 if rows > 1 else 220)
    axes: list[tuple[Any, str, Floats]] = [(figure.update_xaxes, info.axes[0], info.first)]
    if rows > 1:
        axes.append((figure.update_yaxes, info.axes[1], info.second[::-1]))
    for update, name, values in axes:
        update(
            title_text=f"{name} (latent, no unit)",
            tickvals=list(range(0, len(values), 2)),
            ticktext=[f"{v:.2f}" for v in values[::2]],
        )
    square = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(range=[-0.5, columns - 0.5], **square)
    figure.update_yaxes(range=[-0.5, rows - 0.5], scaleanchor="x", visible=rows > 1, **square)
    return figure


def _place(values: Floats, along: Floats) -> Floats:
    """Places of values on an even grid that rises, in steps of it."""
    step = (along[-1] - along[0]) / (len(along) - 1)
    return np.asarray((values - along[0]) / (step or 1.0))
