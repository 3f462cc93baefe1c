"""What each reward says of each window and invariance (the paper's figures 3, 4 and 6)."""

import html
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.distributions import FloatDistribution, IntDistribution
from plotly.subplots import make_subplots

from vaeopt.core.types import Floats, Ints
from vaeopt.report.palette import component_colour
from vaeopt.report.style import (
    Direction,
    better,
    blank,
    numbers,
    pixels_axis,
    seen_range,
    styled,
    wrapped,
)
from vaeopt.study.fronts.pareto import feasible
from vaeopt.study.results.access import candidates, trials_frame
from vaeopt.study.results.stored import stored_scores

__all__ = [
    "INVARIANCES",
    "WINDOW",
    "Curve",
    "CurvesInfo",
    "curves_caption",
    "curves_frame",
    "curves_info",
    "draw_curves",
    "numeric_parameters",
]

Row = dict[Hashable, Any]
WINDOW, INVARIANCES = "patches.size_px", "vae.invariances"
_COLUMNS = 3
_LINE_MOST = 15  # with more values on the x axis there is about one trial at each: no line
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


class Curve(NamedTuple):
    """One value against a parameter, for one set of invariances."""

    group: str
    x: Floats
    """values of the parameter, ascending"""
    mean: Floats
    """over the feasible trials with this parameter and these invariances"""
    sd: Floats
    """of one training, where all trials of a point have the same parameters; else NaN"""
    trials: list[list[int]]
    """numbers of the trials behind each point"""
    point_x: Floats
    point_y: Floats
    """every trial by itself"""
    point_trial: Ints


class CurvesInfo(NamedTuple):
    """All curves of a study, by name of the value."""

    parameter: str
    log: bool
    """whether the parameter is searched on a logarithmic scale"""
    curves: dict[str, list[Curve]]
    directions: dict[str, Direction]
    """of the rewards and scores among them"""


def numeric_parameters(study: optuna.Study) -> list[str]:
    """Searched parameters that are numbers and took several values; the window first."""
    trials = feasible(study)
    found: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            if not isinstance(value, bool) and isinstance(value, int | float):
                found.setdefault(name, set()).add(value)
    names = [name for name, values in found.items() if len(values) > 1]
    return sorted(names, key=lambda name: (name != WINDOW, name))


def curves_info(study: optuna.Study, parameter: str = WINDOW) -> CurvesInfo:
    """Rewards, recorded scores, number of components and training loss against a parameter.

    Only feasible trials count, one per configuration. Empty if the parameter is not searched.
    """
    rows = _feasible_rows(study)
    if not rows or parameter not in rows[0]:
        return CurvesInfo(parameter, False, {}, {})
    trials = {trial.number: trial for trial in feasible(study)}
    scale = next(iter(trials.values())).distributions[parameter]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get(INVARIANCES, "all")), []).append(row)
    directions: dict[str, Direction] = {n: s.direction for n, s in stored_scores(study).items()}
    names = [n for n in directions if n in rows[0]]
    objectives = [n for n in study.metric_names or names if n in names]
    scores = [n for n in rows[0] if n in names and n not in objectives]
    shown = [*objectives, *scores, *(n for n in ("components", "loss") if n not in names)]
    params = {n: trial.params for n, trial in trials.items()}
    curves = {
        name: [_curve(group, groups[group], name, parameter, params) for group in sorted(groups)]
        for name in map(str, shown)
        if any(_known(row.get(name)) for row in rows)
    }
    log = isinstance(scale, FloatDistribution | IntDistribution) and scale.log
    return CurvesInfo(parameter, log, curves, directions)


def _feasible_rows(study: optuna.Study) -> list[Row]:
    frame = trials_frame(study)
    return [] if frame.empty else candidates(frame).to_dict("records")


def _known(value: Any) -> bool:
    return value is not None and not np.isnan(value)


def _curve(
    group: str, rows: list[Row], name: str, parameter: str, params: dict[int, dict[str, Any]]
) -> Curve:
    rows = sorted(
        (row for row in rows if _known(row.get(name))),
        key=lambda row: (row[parameter], row["trial"]),
    )
    cells: dict[float, list[Row]] = {}
    for row in rows:
        cells.setdefault(row[parameter], []).append(row)
    return Curve(
        group=group,
        x=np.asarray(list(cells), np.float64),
        mean=np.asarray([np.mean([row[name] for row in cell]) for cell in cells.values()]),
        sd=np.asarray([_sd(cell, name, params) for cell in cells.values()], np.float64),
        trials=[[int(row["trial"]) for row in cell] for cell in cells.values()],
        point_x=np.asarray([row[parameter] for row in rows], np.float64),
        point_y=np.asarray([row[name] for row in rows], np.float64),
        point_trial=np.asarray([row["trial"] for row in rows], np.int64),
    )


def _sd(cell: list[Row], name: str, params: dict[int, dict[str, Any]]) -> float:
    """Deviation over seeds; NaN where trials of other parameters are mixed or there is one seed."""
    first = params[cell[0]["trial"]]
    if any(params[row["trial"]] != first for row in cell):
        return float("nan")
    if len(cell) > 1:
        return float(np.std([row[name] for row in cell], ddof=1))
    held = cell[0].get(f"{name} sd")
    return float(held) if held is not None else float("nan")


def curves_frame(info: CurvesInfo) -> pd.DataFrame:
    """One row per value and trial; mean and sd of its point beside it."""
    rows = []
    for name, curves in info.curves.items():
        for curve in curves:
            place = {number: i for i, cell in enumerate(curve.trials) for number in cell}
            for x, y, trial in zip(curve.point_x, curve.point_y, curve.point_trial, strict=True):
                i = place[int(trial)]
                rows.append(
                    {
                        "value": name,
                        INVARIANCES: curve.group,
                        info.parameter: x,
                        "trial": trial,
                        "y": y,
                        "mean": curve.mean[i],
                        "sd over seeds": curve.sd[i],
                        "trials at this point": len(curve.trials[i]),
                    }
                )
    return pd.DataFrame(rows)


def _lined(info: CurvesInfo) -> bool:
    every = {x for curves in info.curves.values() for curve in curves for x in curve.x.tolist()}
    return len(every) <= _LINE_MOST


def curves_caption(info: CurvesInfo) -> str:
    """What lines, bands and points are in these curves."""
    held = [curve for curves in info.curves.values() for curve in curves]
    banded = any(np.isfinite(curve.sd).any() for curve in held)
    mixed = any(
        len(cell) > 1 and not np.isfinite(s)
        for c in held
        for cell, s in zip(c.trials, c.sd, strict=True)
    )
    words = ["Feasible trials only, one line for each set of invariances."]
    if not _lined(info):
        words = ["Feasible trials only, one point each, coloured by invariances."]
    elif mixed:
        words.append(
            "Small points are single trials; the line is their mean. Trials of one point differ in "
            "other searched parameters too, so their scatter is not noise."
        )
    if banded and _lined(info):
        words.append("Bands and bars are one standard deviation over seeds (repeated trainings).")
    elif not mixed:
        words.append("Every setting was trained with one seed: no spread is known.")
    if "loss" in info.curves and info.parameter == WINDOW:
        words.append("The loss is summed over pixels, so it grows with the window by itself.")
    return " ".join(words)


def draw_curves(info: CurvesInfo, pixel_size_nm: float | None = None) -> go.Figure:
    """One panel per value, one colour, dash and shape per set of invariances.

    Args:
        info: of a study.
        pixel_size_nm: puts nanometres below the pixels of a window.
    """
    count = len(info.curves)
    if not count:
        return blank(f"{info.parameter} was not searched, or nothing feasible has finished")
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    height = 300
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[_title(info, name) for name in info.curves],
        horizontal_spacing=0.09,
        vertical_spacing=95 / (height * rows) if rows > 1 else 0,
    )
    styled(figure, height=height * rows + 90)
    figure.update_annotations(font_size=13)
    ticks = _ticks(info, pixel_size_nm)
    groups = sorted({curve.group for curves in info.curves.values() for curve in curves})
    told: set[str] = set()
    for i, curves in enumerate(info.curves.values()):
        where = {"row": i // columns + 1, "col": i % columns + 1}
        for curve in curves:
            k = groups.index(curve.group)
            _add(figure, curve, k, lined=_lined(info), first=curve.group not in told, **where)
            told.add(curve.group)
        low = np.concatenate([np.append(c.point_y, c.mean - np.nan_to_num(c.sd)) for c in curves])
        high = np.concatenate([np.append(c.point_y, c.mean + np.nan_to_num(c.sd)) for c in curves])
        both = np.concatenate([low, high])
        figure.update_yaxes(range=seen_range(both, np.isfinite(both)), **where)
        figure.update_xaxes(**ticks, **where)
        if i + columns < count:  # there is a panel below, with the same axis
            figure.update_xaxes(title_text="", **where)
    # Above the titles of the first row.
    figure.update_layout(
        margin={"t": 95},
        legend={
            "y": 1 + 52 / (height * rows),
            "title": {"text": "invariances "},
            "itemsizing": "constant",
        },
        showlegend=True,
    )
    return figure


def _title(info: CurvesInfo, name: str) -> str:
    small = {"components": "number", "loss": "nats per patch"}.get(name, "")
    if name in info.directions:
        small = better(info.directions[name])
    return f"<b>{wrapped(name)}</b><br><span style='font-size:12px'>{small}</span>"


def _ticks(info: CurvesInfo, pixel_size_nm: float | None) -> dict[str, Any]:
    if info.parameter == WINDOW:
        held = {x for curves in info.curves.values() for c in curves for x in c.x.tolist()}
        values = sorted(held)[:: -(-len(held) // 6)]
        return pixels_axis("window", values, pixel_size_nm)
    if info.log:
        return {"title_text": info.parameter, "type": "log", "dtick": 1, "exponentformat": "power"}
    return {"title_text": info.parameter, "nticks": 6}


def _add(
    figure: go.Figure, curve: Curve, k: int, *, lined: bool, first: bool, row: int, col: int
) -> None:
    colour, symbol = component_colour(k), _SYMBOLS[k % len(_SYMBOLS)]
    where = {"row": row, "col": col, "legendgroup": curve.group}
    bands, alone = _stretches(curve.sd) if lined else ([], [])
    for band in bands:
        x, mean, sd = curve.x[band], curve.mean[band], curve.sd[band]
        figure.add_scatter(
            x=numbers([*x, *x[::-1]]),
            y=numbers([*(mean + sd), *(mean - sd)[::-1]]),
            mode="none",
            fill="toself",
            fillcolor=_pale(colour),
            hoverinfo="skip",
            showlegend=False,
            **where,
        )
    if lined:
        figure.add_scatter(
            x=numbers(curve.x),
            y=numbers(curve.mean),
            mode="lines",
            line={"color": colour, "width": 2, "dash": _DASHES[k % len(_DASHES)]},
            name=curve.group,
            hoverinfo="skip",
            showlegend=False,
            **where,
        )
    bars = {float(curve.x[i]): float(curve.sd[i]) for i in alone}
    several = any(len(cell) > 1 for cell in curve.trials)
    figure.add_scatter(
        x=numbers(curve.point_x),
        y=numbers(curve.point_y),
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 5 if lined and several else 7,
            "opacity": 0.75 if several else 1.0,
        },
        error_y={
            "type": "data",
            "array": [bars.get(x, 0.0) for x in curve.point_x.tolist()],
            "visible": bool(bars),
            "thickness": 1,
        },
        name=html.escape(curve.group),
        hovertemplate="trial %{customdata}<br>%{x}: %{y:.4g}",
        customdata=curve.point_trial.tolist(),
        showlegend=first,
        **where,
    )


def _stretches(sd: Floats) -> tuple[list[list[int]], list[int]]:
    """Neighbours with a known deviation, which make a band, and single ones, which make a bar.

    >>> _stretches(np.asarray([0.1, 0.2, np.nan, 0.3, np.nan]))
    ([[0, 1]], [3])
    """
    runs: list[list[int]] = []
    for i in np.flatnonzero(np.isfinite(sd)).tolist():
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return [run for run in runs if len(run) > 1], [run[0] for run in runs if len(run) == 1]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
