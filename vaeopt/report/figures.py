"""Figures of a study and of one trial: pure ``*_info()`` functions, thin ``draw_*()`` ones."""

from typing import NamedTuple

import numpy as np
import optuna
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints, WorkflowRun
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.stages.vae import decode
from vaeopt.study.fronts.pareto import feasible, front, margin, representatives
from vaeopt.study.results.access import metric_names

__all__ = [
    "FrontInfo",
    "HistoryInfo",
    "LatentsInfo",
    "MapInfo",
    "draw_components",
    "draw_front",
    "draw_history",
    "draw_latents",
    "draw_loss",
    "draw_map",
    "front_info",
    "history_info",
    "latents_info",
    "map_info",
]


class HistoryInfo(NamedTuple):
    """Values of one objective in the order of the trials."""

    name: str
    numbers: Ints
    values: Floats
    feasible: Bools
    best: Floats
    """best feasible value so far; NaN before the first"""


def history_info(study: optuna.Study, objective: int) -> HistoryInfo:
    """One objective against the trial number, one trial per configuration."""
    trials = representatives(study)
    values = np.asarray([trial.values[objective] for trial in trials], np.float64)
    healthy = np.asarray([margin(trial) <= 0 for trial in trials], bool)
    minimize = study.directions[objective] == optuna.study.StudyDirection.MINIMIZE
    worst = np.inf if minimize else -np.inf
    candidates = np.where(healthy, values, worst)
    running = np.minimum.accumulate(candidates) if minimize else np.maximum.accumulate(candidates)
    return HistoryInfo(
        name=metric_names(study)[objective],
        numbers=np.asarray([trial.number for trial in trials], np.int64),
        values=values,
        feasible=healthy,
        best=np.where(np.isfinite(running), running, np.nan),
    )


class FrontInfo(NamedTuple):
    """All finished trials in objective space, one per configuration."""

    names: list[str]
    numbers: Ints
    values: Floats
    """(n, objectives)"""
    feasible: Bools
    on_front: Bools
    labels: list[str]
    """parameters of each trial, one per line"""


def front_info(study: optuna.Study) -> FrontInfo:
    """Objective values, which of them count, and which are not dominated."""
    trials = representatives(study)
    good = {trial.number for trial in feasible(study)}
    best = {trial.number for trial in front(study)}
    return FrontInfo(
        names=metric_names(study),
        numbers=np.asarray([t.number for t in trials], np.int64),
        values=np.asarray([t.values for t in trials], np.float64).reshape(
            len(trials), len(study.directions)
        ),
        feasible=np.asarray([t.number in good for t in trials], bool),
        on_front=np.asarray([t.number in best for t in trials], bool),
        labels=["<br>".join(f"{k} = {_short(v)}" for k, v in t.params.items()) for t in trials],
    )


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


class MapInfo(NamedTuple):
    """Where each component sits on the image."""

    pixels: Floats
    yx_px: Floats
    component: Ints
    kept: Bools
    pixel_size_nm: float | None


def map_info(run: WorkflowRun) -> MapInfo:
    """Key points by component over the micrograph."""
    return MapInfo(
        run.micrograph.pixels,
        run.keypoints.yx_px,
        run.mixture.component,
        run.mixture.kept,
        run.micrograph.pixel_size_nm,
    )


def draw_history(info: HistoryInfo) -> go.Figure:
    """Dots per trial, a line for the best so far."""
    figure = go.Figure()
    for name, mask, colour in (
        ("feasible", info.feasible, component_colour(0)),
        ("collapsed", ~info.feasible, INFEASIBLE),
    ):
        figure.add_scatter(
            x=info.numbers[mask],
            y=info.values[mask],
            mode="markers",
            name=name,
            marker={"color": colour},
        )
    figure.add_scatter(
        x=info.numbers, y=info.best, mode="lines", name="best so far", line={"color": "black"}
    )
    return _styled(figure, "trial", info.name)


def draw_front(info: FrontInfo) -> go.Figure:
    """Two or three objectives against each other."""
    groups = (
        ("collapsed", ~info.feasible, INFEASIBLE, 6),
        ("dominated", info.feasible & ~info.on_front, component_colour(5), 7),
        ("Pareto front", info.on_front, component_colour(4), 11),
    )
    figure = go.Figure()
    for name, mask, colour, size in groups:
        hover = [f"trial {info.numbers[i]}<br>{info.labels[i]}" for i in np.flatnonzero(mask)]
        common = {
            "mode": "markers",
            "name": name,
            "text": hover,
            "marker": {"color": colour, "size": size if info.values.shape[1] < 3 else size / 2},
        }
        columns = info.values[mask].T
        if info.values.shape[1] >= 3:
            figure.add_scatter3d(x=columns[0], y=columns[1], z=columns[2], **common)
        else:
            figure.add_scatter(x=columns[0], y=columns[1], **common)
    if info.values.shape[1] >= 3:
        axes = {f"{axis}axis_title": name for axis, name in zip("xyz", info.names, strict=False)}
        figure.update_layout(scene=axes)
    return _styled(figure, info.names[0], info.names[1])


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
    return _styled(figure, info.axes[0], info.axes[1])


def draw_map(info: MapInfo) -> go.Figure:
    """Key points on the image, row 0 at the top, one pixel as wide as high."""
    figure = go.Figure()
    figure.add_heatmap(z=info.pixels, colorscale="gray", showscale=False, hoverinfo="skip")
    for k in sorted(set(info.component.tolist())):
        mask = info.component == k
        figure.add_scatter(
            x=info.yx_px[mask, 1],
            y=info.yx_px[mask, 0],
            mode="markers",
            name=f"component {k}" if k >= 0 else "key points",
            marker={
                "color": component_colour(k),
                "size": 6,
                "opacity": np.where(info.kept[mask], 1.0, 0.35),
                "line": {"width": 0.5, "color": "white"},
            },
        )
    figure.update_yaxes(autorange="reversed", scaleanchor="x")
    size = "" if info.pixel_size_nm is None else f"; 1 px = {info.pixel_size_nm:.4g} nm"
    return _styled(figure, f"column (px{size})", "row (px)", height=640)


def draw_loss(run: WorkflowRun) -> go.Figure:
    """Training loss per patch against epochs."""
    figure = go.Figure()
    loss = run.vae.loss_nats
    figure.add_scatter(
        x=np.arange(1, len(loss) + 1), y=loss, mode="lines", line={"color": component_colour(0)}
    )
    return _styled(figure, "epoch", "loss (nats per patch)")


def draw_components(run: WorkflowRun) -> go.Figure:
    """Decoded mean of each component beside the mean patch of its core points."""
    best = run.mixture.best
    figure = go.Figure()
    if best is None:
        return _styled(figure, "", "")
    centres = run.mixture.shift + best.means @ np.linalg.inv(run.mixture.transform).T
    decoded = decode(run.vae, centres)
    rows = []
    for k, picture in enumerate(decoded):
        members = run.mixture.core & (run.mixture.component == k)
        mean = run.patches.pixels[members].mean(axis=0) if members.any() else picture * np.nan
        rows.append(np.vstack([picture, np.full((1, picture.shape[1]), np.nan), mean]))
    gap = np.full((rows[0].shape[0], 1), np.nan)
    strip = np.hstack([part for row in rows for part in (row, gap)][:-1])
    figure.add_heatmap(z=strip, colorscale="gray", showscale=False, zmin=0, zmax=1)
    size = run.vae.window_px
    middle = [(size + 1) * k + (size - 1) / 2 for k in range(len(rows))]
    share = [float(np.mean(run.mixture.component == k)) for k in range(len(rows))]
    text = [f"{k} ({100 * s:.0f} %)" for k, s in enumerate(share)]
    figure.update_xaxes(tickvals=middle, ticktext=text)
    figure.update_yaxes(
        autorange="reversed",
        scaleanchor="x",
        tickvals=[(size - 1) / 2, size + 1 + (size - 1) / 2],
        ticktext=["decoded centre", "mean core patch"],
    )
    return _styled(figure, "component (share of key points)", "", height=320)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _styled(figure: go.Figure, x: str, y: str, *, height: int = 420) -> go.Figure:
    figure.update_layout(
        template="simple_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        xaxis_title=x,
        yaxis_title=y,
    )
    return figure
