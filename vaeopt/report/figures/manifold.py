"""The pictures between the components of a trial."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.report.figures.latents import best_pair, latents_info
from vaeopt.report.figures.raster import add_picture, stretched, tiles
from vaeopt.report.palette import component_colour
from vaeopt.report.style import numbers, styled
from vaeopt.stages.vae import decode

__all__ = ["ManifoldInfo", "draw_manifold", "manifold_frame", "manifold_info"]

_SIDE = 11  # pictures along an edge of a manifold


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
    (pictures,) = stretched(info.pictures)
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
