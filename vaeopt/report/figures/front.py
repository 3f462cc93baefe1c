"""All trials in the space of the objectives."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.style import (
    GRID,
    INK,
    Direction,
    arrowed,
    better,
    blank,
    hover_label,
    numbers,
    seen_range,
    short,
    styled,
    whole,
    wrapped,
)
from vaeopt.study.fronts.chebyshev import scaled
from vaeopt.study.fronts.pareto import compromise, feasible, front, representatives
from vaeopt.study.results.access import metric_names, trials_frame

__all__ = ["FrontInfo", "directions_of", "draw_front", "draw_pairs", "front_frame", "front_info"]


class FrontInfo(NamedTuple):
    """All finished trials in objective space, one per configuration."""

    names: list[str]
    directions: list[Direction]
    numbers: Ints
    values: Floats
    """(n, objectives)"""
    sd: Floats
    """(n, objectives) of one training, where a value is a mean of several; else NaN"""
    feasible: Bools
    on_front: Bools
    compromise: Bools
    """the one of the front that is nearest to the ideal point"""
    labels: list[str]
    """parameters of each trial, one per line"""
    params: list[dict[str, Any]]


def directions_of(study: optuna.Study) -> list[Direction]:
    """Direction of each objective as a word."""
    least = optuna.study.StudyDirection.MINIMIZE
    return ["minimize" if direction == least else "maximize" for direction in study.directions]


def front_info(study: optuna.Study) -> FrontInfo:
    """Objective values, which of them count, and which are not dominated."""
    trials, names = representatives(study), metric_names(study)
    good = {trial.number for trial in feasible(study)}
    best = {trial.number for trial in front(study)}
    chosen = compromise(study)
    frame = trials_frame(study)
    held = {} if frame.empty else frame.set_index("trial").to_dict("index")
    spread = [[held[t.number].get(f"{name} sd", np.nan) for name in names] for t in trials]
    shape = (len(trials), len(names))
    return FrontInfo(
        names=names,
        directions=directions_of(study),
        numbers=np.asarray([t.number for t in trials], np.int64),
        values=np.asarray([t.values for t in trials], np.float64).reshape(shape),
        sd=np.asarray(spread, np.float64).reshape(shape),
        feasible=np.asarray([t.number in good for t in trials], bool),
        on_front=np.asarray([t.number in best for t in trials], bool),
        compromise=np.asarray([chosen is not None and t.number == chosen.number for t in trials]),
        labels=["<br>".join(f"{k} = {short(v)}" for k, v in t.params.items()) for t in trials],
        params=[dict(t.params) for t in trials],
    )


def front_frame(info: FrontInfo) -> pd.DataFrame:
    """One row per trial: its state, its values with their sd, its parameters."""
    values = dict(zip(info.names, info.values.T, strict=True))
    spread = {
        f"{name} sd": column
        for name, column in zip(info.names, info.sd.T, strict=True)
        if np.isfinite(column).any()
    }
    held = pd.DataFrame(
        {
            "trial": info.numbers,
            "feasible": info.feasible,
            "front": info.on_front,
            "compromise": info.compromise.astype(bool),
            **values,
            **spread,
        }
    )
    return pd.concat([held, pd.DataFrame(info.params, index=held.index)], axis=1)


class _Group(NamedTuple):
    name: str
    mask: Bools
    marker: dict[str, Any]


def _groups(info: FrontInfo) -> list[_Group]:
    """Told apart by shape as well as by colour."""
    line = {"width": 1, "color": "white"}
    star = {"symbol": "star", "size": 17, "color": component_colour(6)}
    return [
        _Group("collapsed", ~info.feasible, {"symbol": "x", "size": 7, "color": INFEASIBLE}),
        _Group(
            "dominated",
            info.feasible & ~info.on_front,
            {"symbol": "circle", "size": 8, "color": component_colour(5), "line": line},
        ),
        _Group(
            "Pareto front",
            info.on_front,
            {"symbol": "diamond", "size": 11, "color": component_colour(4), "line": line},
        ),
        _Group("compromise", info.compromise, {**star, "line": {"width": 1.2, "color": INK}}),
    ]


def _hover(info: FrontInfo, mask: Bools) -> list[str]:
    return [
        hover_label(
            int(info.numbers[i]),
            info.params[i],
            dict(zip(info.names, map(float, info.values[i]), strict=True)),
        )
        for i in np.flatnonzero(mask)
    ]


def _points(info: FrontInfo, group: _Group, *, hover: bool = True) -> dict[str, Any]:
    template = "trial %{customdata}<br>%{x}, %{y}<extra></extra>"
    told = {"hovertext": _hover(info, group.mask), "hoverinfo": "text"}
    return {
        "mode": "markers",
        "name": group.name,
        **(told if hover else {"hovertemplate": template}),
        "customdata": info.numbers[group.mask].tolist(),
    }


def draw_front(info: FrontInfo) -> go.Figure:
    """Two objectives as a plane, three as a space, more as lines across all of them."""
    if not len(info.numbers):
        return blank("no trial has finished yet")
    count = len(info.names)
    if count == 1:
        return blank("one objective has no front")
    draw = {2: _plane, 3: _space}.get(count, _lines)
    return draw(info)


def _plane(info: FrontInfo) -> go.Figure:
    figure = go.Figure()
    _add_steps(figure, info, 0, 1)
    for group in _groups(info):
        x, y = info.values[group.mask].T
        errors = {}
        for axis, sd in zip("xy", info.sd[group.mask].T, strict=True):
            if group.name != "collapsed" and np.isfinite(sd).any():
                errors[f"error_{axis}"] = {
                    "type": "data",
                    "array": numbers(np.nan_to_num(sd)),
                    "thickness": 1,
                    "width": 3,
                    "color": "#999999",
                }
        if group.name == "compromise":
            errors = {}  # the same trial is drawn with the front
        figure.add_scatter(
            x=numbers(x), y=numbers(y), marker=group.marker, **errors, **_points(info, group)
        )
    styled(
        figure,
        arrowed(info.names[0], info.directions[0]),
        arrowed(info.names[1], info.directions[1]),
        height=520,
    )
    for j, update in enumerate((figure.update_xaxes, figure.update_yaxes)):
        update(**_axis(info, j))
    _add_better(figure, info.directions)
    return figure


def _axis(info: FrontInfo, j: int) -> dict[str, Any]:
    """Range of an objective that shows what counts with its bars; whole ticks of whole numbers."""
    bars = np.nan_to_num(info.sd[:, j])
    ends = np.concatenate([info.values[:, j] - bars, info.values[:, j] + bars])
    shown = np.tile(info.feasible, 2)
    return {"range": seen_range(ends, shown), **whole(info.values[info.feasible, j])}


def _add_better(figure: go.Figure, directions: list[Direction]) -> None:
    """An arrow to the corner where all would be best.

    It is an entry of the legend, which wraps on a narrow page and covers no point.
    """
    right, up = (direction == "maximize" for direction in directions[:2])
    arrow = {(0, 1): "↖", (1, 1): "↗", (0, 0): "↙", (1, 0): "↘"}[int(right), int(up)]
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="none",
        name=f"{arrow} better in both",
        hoverinfo="skip",
        showlegend=True,
    )


def _add_steps(figure: go.Figure, info: FrontInfo, i: int, j: int, **where: Any) -> None:
    """The edge of what the front dominates in the plane of two objectives."""
    signs = np.asarray([1 if d == "minimize" else -1 for d in info.directions])
    x, y = info.values[info.on_front][:, [i, j]].T
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    if len(x) and len(info.names) > 2:  # not all of a front in more dimensions are one in two
        costs = np.stack([x * signs[i], y * signs[j]], axis=1)
        below = np.asarray((costs[None] <= costs[:, None]).all(axis=2))
        strictly = np.asarray((costs[None] < costs[:, None]).any(axis=2))
        edge = ~np.any(below & strictly, axis=1)
        x, y = x[edge], y[edge]
    ends = [_axis(info, k)["range"] for k in (i, j)]
    far = [end[1] if sign > 0 else end[0] for end, sign in zip(ends, signs[[i, j]], strict=True)]
    if len(x):  # on to the edges of the plane
        first, last = (x[0], far[1]), (far[0], y[-1])
        if signs[i] < 0:
            first, last = (far[0], y[0]), (x[-1], far[1])
        x, y = np.asarray([first[0], *x, last[0]]), np.asarray([first[1], *y, last[1]])
    figure.add_scatter(
        x=numbers(x),
        y=numbers(y),
        mode="lines",
        line={
            "shape": "hv" if signs[i] > 0 else "vh",
            "color": component_colour(4),
            "width": 1.5,
        },
        name="edge of the front",
        showlegend=False,
        hoverinfo="skip",
        **where,
    )


def _space(info: FrontInfo) -> go.Figure:
    figure = go.Figure()
    shown = info.feasible if info.feasible.any() else np.ones_like(info.feasible)
    ranges = [seen_range(info.values[:, j], shown) for j in range(3)]
    inside = np.all(
        [(v >= r[0]) & (v <= r[1]) for v, r in zip(info.values.T, ranges, strict=True)], axis=0
    )
    worst = ranges[2][1] if info.directions[2] == "minimize" else ranges[2][0]
    drops: list[list[float | None]] = [[], [], []]
    for x, y, z in info.values[info.on_front]:
        for axis, ends in zip(drops, ((x, x), (y, y), (z, worst)), strict=True):
            axis += [*numbers(ends), None]
    figure.add_scatter3d(
        x=drops[0],
        y=drops[1],
        z=drops[2],
        mode="lines",
        line={"color": "#BBBBBB", "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    # WebGL knows fewer shapes.
    shapes = {"collapsed": "cross", "dominated": "circle", "Pareto front": "diamond"}
    for group in _groups(info):
        kept = group._replace(mask=group.mask & inside)
        x, y, z = info.values[kept.mask].T
        marker = group.marker | {"symbol": shapes.get(group.name, "diamond-open")}
        marker["size"] = {"collapsed": 3, "dominated": 5, "Pareto front": 7}.get(group.name, 13)
        figure.add_scatter3d(
            x=numbers(x), y=numbers(y), z=numbers(z), marker=marker, **_points(info, kept)
        )
    styled(figure, height=640)
    axes = {
        f"{axis}axis": {
            "title": {
                "text": f"{wrapped(name, 22)}<br>({better(direction)})",
                "font": {"size": 13},
            },
            "range": limits_,
            "nticks": 5,
            "tickfont": {"size": 12},
            "gridcolor": GRID,
            "showgrid": True,
            "showbackground": True,
            "backgroundcolor": "#FAFAFA",
            "showline": True,
            "linecolor": "#888888",
        }
        for axis, name, direction, limits_ in zip(
            "xyz", info.names, info.directions, ranges, strict=True
        )
    }
    eye = {"x": 1.35, "y": -1.5, "z": 0.7}
    camera = {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.13}}
    figure.update_layout(
        scene={**axes, "aspectmode": "cube", "camera": camera}, margin={"l": 0, "r": 0, "b": 10}
    )
    return figure


def _lines(info: FrontInfo) -> go.Figure:
    """Every trial a line across the objectives, all turned so that up is better."""
    signs = np.asarray([1.0 if d == "minimize" else -1.0 for d in info.directions])
    costs = info.values * signs
    count = len(info.names)
    shown = info.feasible if info.feasible.any() else np.ones_like(info.feasible)
    height = 1 - scaled(costs, costs[shown])
    figure = go.Figure()
    for group in _groups(info)[1:] if info.feasible.any() else _groups(info)[:1]:
        chosen = np.flatnonzero(group.mask)
        x = [*range(count), None] * len(chosen)
        y = [v for i in chosen for v in (*numbers(height[i]), None)]
        hover = [t for text in _hover(info, group.mask) for t in (*[text] * count, "")]
        named = [n for i in chosen for n in (*[int(info.numbers[i])] * count, None)]
        width = {"compromise": 3.0, "Pareto front": 1.6}.get(group.name, 0.8)
        colour = INK if group.name == "compromise" else group.marker["color"]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name=group.name,
            line={"color": colour, "width": width},
            marker={**group.marker, "size": 0.7 * group.marker["size"]},
            opacity=0.55 if group.name == "dominated" else 1.0,
            hovertext=hover,
            hoverinfo="text",
            customdata=named,
        )
    best, worst = (costs[shown].min(axis=0) * signs, costs[shown].max(axis=0) * signs)
    texts = [
        f"{wrapped(name, 18)}<br>({better(direction)})"
        for name, direction in zip(info.names, info.directions, strict=True)
    ]
    styled(figure, height=480)
    figure.update_xaxes(tickvals=list(range(count)), ticktext=texts, range=[-0.25, count - 0.75])
    figure.update_yaxes(
        title_text="best of all at the top (scaled)",
        showticklabels=False,
        ticks="",
        range=[-0.1, 1.1],
    )
    for j in range(count):
        for place, value in ((1.06, best[j]), (-0.06, worst[j])):
            figure.add_annotation(x=j, y=place, text=f"{value:.4g}", showarrow=False)
    return figure


def draw_pairs(info: FrontInfo) -> go.Figure:
    """Every two objectives as a plane; on the edge of a plane no trial is better in both."""
    count = len(info.names)
    if not len(info.numbers) or count < 2:
        return blank("there are no two objectives to compare")
    pairs = list(itertools.combinations(range(count), 2))
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = make_subplots(
        rows=rows, cols=columns, horizontal_spacing=0.11, vertical_spacing=0.3 / max(rows, 1.5)
    )
    styled(figure, height=360 * rows)
    for place, (i, j) in enumerate(pairs):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        _add_steps(figure, info, i, j, **where)
        for group in _groups(info)[1:]:
            points = info.values[group.mask]
            figure.add_scatter(
                x=numbers(points[:, i]),
                y=numbers(points[:, j]),
                marker={**group.marker, "size": 0.8 * group.marker["size"]},
                legendgroup=group.name,
                showlegend=place == 0,
                **_points(info, group, hover=False),
                **where,
            )
        for k, update in ((i, figure.update_xaxes), (j, figure.update_yaxes)):
            update(
                title_text=arrowed(info.names[k], info.directions[k]),
                **_axis(info, k),
                **where,
            )
    return figure
