"""Latents of a trial with the components in them (the paper's figure 5)."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints, WorkflowRun
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.plane import telling_plane
from vaeopt.report.style import INK, limits, numbers, styled

__all__ = [
    "MOST_POINTS",
    "LatentsInfo",
    "best_pair",
    "draw_latents",
    "drawn",
    "latents_info",
    "points_frame",
]

MOST_POINTS = 4000
"""points of one trial that a figure holds; its frame holds all"""


class LatentsInfo(NamedTuple):
    """Two latents of every patch, coloured by component."""

    z: Floats
    """(n, 2); the second is 0 where there is one latent only"""
    axes: tuple[str, str]
    component: Ints
    kept: Bools
    core: Bools
    ellipses: list[Floats]
    """per component (points, 2): the 2-sigma ellipse, 86.5 % of a 2-D component"""


def best_pair(run: WorkflowRun) -> tuple[int, int]:
    """The two latents that tell the components apart best."""
    mixture = run.mixture
    return telling_plane(run.latents.z_mean, mixture.component, mixture.kept, run.diagnostics.snr)


def latents_info(
    run: WorkflowRun, first: int | None = None, second: int | None = None
) -> LatentsInfo:
    """A scatter of two latents with the ellipses of the mixture in the same plane.

    Args:
        run: of any number of latents.
        first: index of the latent to the right; both are chosen by :func:`best_pair` if left out.
        second: index of the latent upwards.
    """
    if first is None or second is None:
        first, second = best_pair(run)
    z, mixture = run.latents.z_mean, run.mixture
    flat = run.latents.latent_dim == 1
    plane = np.column_stack([z[:, 0], np.zeros(len(z))]) if flat else z[:, [first, second]]
    ellipses: list[Floats] = []
    best = mixture.best
    if best is not None and not flat:
        back = np.linalg.inv(mixture.transform)
        angle = np.linspace(0, 2 * np.pi, 65)
        circle = np.stack([np.cos(angle), np.sin(angle)])
        for mean, covariance in zip(best.means, best.covariances, strict=True):
            centre = mixture.shift + back @ mean
            spread = (back @ covariance @ back.T)[np.ix_([first, second], [first, second])]
            outline = 2 * np.linalg.cholesky(spread) @ circle
            ellipses.append(outline.T + centre[[first, second]])
    names = ("z1", "") if flat else (f"z{first + 1}", f"z{second + 1}")
    return LatentsInfo(plane, names, mixture.component, mixture.kept, mixture.core, ellipses)


def points_frame(run: WorkflowRun) -> pd.DataFrame:
    """One row per patch: place, component, probability, latents, pose."""
    yx = run.keypoints.yx_px[run.patches.keypoint_index]
    columns = {"row_px": yx[:, 0], "column_px": yx[:, 1]}
    size = run.micrograph.pixel_size_nm
    if size is not None:
        columns |= {"row_nm": yx[:, 0] * size, "column_nm": yx[:, 1] * size}
    probability = (
        {}
        if run.mixture.chosen is None
        else {"probability": run.mixture.responsibilities.max(axis=1)}
    )
    return pd.DataFrame(
        {
            **columns,
            "component": run.mixture.component,
            **probability,
            "kept": run.mixture.kept,
            "core": run.mixture.core,
            **{f"z{j + 1}": column for j, column in enumerate(run.latents.z_mean.T)},
            **run.latents.codes,
        }
    )


def drawn(count: int) -> Ints:
    """Which of so many points are drawn: all, or an even choice of 4000."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).permutation(count)[:MOST_POINTS])


def draw_latents(info: LatentsInfo) -> go.Figure:
    """Scatter with ellipses; core points are ringed, filtered points are grey.

    One latent is a histogram.
    """
    return _histogram(info) if not info.axes[1] else _plane(info)


def _plane(info: LatentsInfo) -> go.Figure:
    figure = go.Figure()
    shown = np.zeros(len(info.z), bool)
    shown[drawn(len(info.z))] = True
    figure.add_scatter(
        x=numbers(info.z[~info.kept & shown, 0]),
        y=numbers(info.z[~info.kept & shown, 1]),
        mode="markers",
        name="filtered",
        hoverinfo="skip",
        marker={"color": INFEASIBLE, "size": 4, "opacity": 0.7},
        showlegend=bool((~info.kept).any()),
    )
    for k in sorted(set(info.component[info.kept].tolist())):
        own = info.kept & (info.component == k)
        mask = own & shown
        figure.add_scatter(
            x=numbers(info.z[mask, 0]),
            y=numbers(info.z[mask, 1]),
            mode="markers",
            name=f"component {k} ({own.sum()})" if k >= 0 else "no component",
            marker={
                "color": component_colour(k),
                "size": 5.5,
                "opacity": 0.85,
                "line": {"width": np.where(info.core[mask], 1.1, 0.0).tolist(), "color": INK},
            },
            hovertemplate="%{x:.3f}, %{y:.3f}",
        )
    for k, ellipse in enumerate(info.ellipses):
        for colour, width in (("white", 5), (component_colour(k), 2.5)):
            figure.add_scatter(
                x=numbers(ellipse[:, 0]),
                y=numbers(ellipse[:, 1]),
                mode="lines",
                line={"color": colour, "width": width},
                name=f"2 sigma of component {k}",
                showlegend=False,
                hoverinfo="skip",
            )
    for k, ellipse in enumerate(info.ellipses):
        x, y = ellipse[:-1].mean(axis=0)
        figure.add_annotation(
            x=x,
            y=y,
            text=f"<b>{k}</b>",
            showarrow=False,
            font={"size": 14, "color": INK},
            bgcolor="white",
            bordercolor=component_colour(k),
            borderwidth=2,
            borderpad=2,
        )
    styled(
        figure, f"{info.axes[0]} (latent, no unit)", f"{info.axes[1]} (latent, no unit)", height=560
    )
    figure.update_layout(showlegend=True)
    # Far points that were filtered would press all others together.
    known = info.z[info.kept] if info.kept.any() else info.z
    all_ = np.concatenate([known, *info.ellipses]) if len(known) else info.z
    figure.update_xaxes(range=limits(all_[:, 0]), zeroline=False)
    figure.update_yaxes(range=limits(all_[:, 1]), zeroline=False)
    return figure


def _histogram(info: LatentsInfo) -> go.Figure:
    z = info.z[:, 0]
    edges = np.histogram_bin_edges(z, bins=min(60, max(8, int(np.sqrt(len(z))) * 2)))
    middle = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure()
    groups = [("filtered", ~info.kept, INFEASIBLE)] + [
        (
            f"component {k}" if k >= 0 else "no component",
            info.kept & (info.component == k),
            component_colour(k),
        )
        for k in sorted(set(info.component[info.kept].tolist()))
    ]
    for name, mask, colour in groups:
        if mask.any():
            figure.add_bar(
                x=numbers(middle),
                y=np.histogram(z[mask], edges)[0].tolist(),
                width=float(edges[1] - edges[0]),
                name=f"{name} ({mask.sum()})",
                marker={"color": colour, "line": {"width": 0}},
            )
    styled(figure, f"{info.axes[0]} (latent, no unit)", "key points", height=400)
    figure.update_layout(barmode="stack", showlegend=True)
    return figure
