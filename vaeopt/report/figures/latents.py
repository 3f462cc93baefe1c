"""Latents of a trial with the components in them."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints, WorkflowRun
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.style import styled

__all__ = ["LatentsInfo", "draw_latents", "latents_info"]


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


def latents_info(run: WorkflowRun, first: int = 0, second: int = 1) -> LatentsInfo:
    """A scatter of two latents with the ellipses of the mixture in the same plane."""
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


def draw_latents(info: LatentsInfo) -> go.Figure:
    """Scatter with ellipses; core points are ringed, filtered points are grey."""
    figure = go.Figure()
    figure.add_scatter(
        x=info.z[~info.kept, 0],
        y=info.z[~info.kept, 1],
        mode="markers",
        name="filtered",
        marker={"color": INFEASIBLE, "size": 4},
    )
    for k in sorted(set(info.component[info.kept].tolist())):
        mask = info.kept & (info.component == k)
        figure.add_scatter(
            x=info.z[mask, 0],
            y=info.z[mask, 1],
            mode="markers",
            name=f"component {k}",
            marker={
                "color": component_colour(k),
                "size": 6,
                "line": {"width": np.where(info.core[mask], 1.0, 0.0), "color": "black"},
            },
        )
    for k, ellipse in enumerate(info.ellipses):
        figure.add_scatter(
            x=ellipse[:, 0],
            y=ellipse[:, 1],
            mode="lines",
            line={"color": component_colour(k), "width": 2},
            showlegend=False,
            hoverinfo="skip",
        )
    return styled(figure, info.axes[0], info.axes[1])
