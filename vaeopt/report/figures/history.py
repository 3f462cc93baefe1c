"""Each objective in the order of the trials."""

from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.figures.front import front_info
from vaeopt.report.palette import component_colour
from vaeopt.report.style import (
    INK,
    Direction,
    arrowed,
    blank,
    hover_label,
    numbers,
    seen_range,
    styled,
)

__all__ = ["HistoryInfo", "draw_history", "history_frame", "history_info"]


class HistoryInfo(NamedTuple):
    """Values of one objective in the order of the trials."""

    name: str
    direction: Direction
    numbers: Ints
    values: Floats
    sd: Floats
    """of one training where a value is a mean of several; else NaN"""
    feasible: Bools
    best: Floats
    """best feasible value so far; NaN before the first"""
    labels: list[str]
    """number, values and parameters for the hover"""


def history_info(study: optuna.Study, objective: int) -> HistoryInfo:
    """One objective against the trial number, one trial per configuration."""
    held = front_info(study)
    values, healthy = held.values[:, objective], held.feasible
    minimize = held.directions[objective] == "minimize"
    worst = np.inf if minimize else -np.inf
    candidates = np.where(healthy, values, worst)
    running = np.minimum.accumulate(candidates) if minimize else np.maximum.accumulate(candidates)
    return HistoryInfo(
        name=held.names[objective],
        direction=held.directions[objective],
        numbers=held.numbers,
        values=values,
        sd=held.sd[:, objective],
        feasible=healthy,
        best=np.where(np.isfinite(running), running, np.nan),
        labels=[
            hover_label(int(n), params, {held.names[objective]: float(value)})
            for n, params, value in zip(held.numbers, held.params, values, strict=True)
        ],
    )


def history_frame(*infos: HistoryInfo) -> pd.DataFrame:
    """One row per trial: value and best value so far of each objective."""
    if not infos:
        return pd.DataFrame()
    first = infos[0]
    columns: dict[str, Any] = {"trial": first.numbers, "feasible": first.feasible}
    for info in infos:
        columns |= {info.name: info.values, f"{info.name} best so far": info.best}
    return pd.DataFrame(columns)


def draw_history(*infos: HistoryInfo) -> go.Figure:
    """One panel per objective above a common axis of trials.

    The value of a collapsed trial means nothing: it is a mark at the lower edge.
    """
    if not infos or not len(infos[0].numbers):
        return blank("no trial has finished yet")
    figure = make_subplots(
        rows=len(infos), cols=1, shared_xaxes=True, vertical_spacing=0.16 / (len(infos) + 1)
    )
    styled(figure, height=120 + 240 * len(infos))
    for row, info in enumerate(infos, start=1):
        _add(figure, info, row)
    figure.update_xaxes(title_text="trial", row=len(infos), col=1)
    return figure


def _add(figure: go.Figure, info: HistoryInfo, row: int) -> None:
    # To the left of its objective, half a panel high, a long title would be cut.
    axis = seen_range(info.values, info.feasible, margin=0.1)
    bad = ~info.feasible
    figure.add_scatter(
        x=info.numbers[bad].tolist(),
        y=[axis[0]] * int(bad.sum()),
        mode="markers",
        name="collapsed",
        marker={
            # Not a tick: the axis has those.
            "symbol": "x-thin",
            "size": 7,
            "line": {"width": 1.5, "color": "#888888"},
        },
        **_hover(info, bad, row),
        customdata=info.numbers[bad].tolist(),
        legendgroup="collapsed",
        showlegend=row == 1 and bool(bad.any()),
        cliponaxis=False,
        row=row,
        col=1,
    )
    good = info.feasible
    sd = info.sd[good]
    figure.add_scatter(
        x=info.numbers[good].tolist(),
        y=numbers(info.values[good]),
        mode="markers",
        name="feasible",
        marker={"color": component_colour(5), "size": 7, "line": {"width": 0.5, "color": "white"}},
        error_y={
            "type": "data",
            "array": numbers(np.nan_to_num(sd)),
            "visible": bool(np.isfinite(sd).any()),
            "thickness": 1,
            "width": 2,
            "color": "#999999",
        },
        **_hover(info, good, row),
        customdata=info.numbers[good].tolist(),
        legendgroup="feasible",
        showlegend=row == 1,
        row=row,
        col=1,
    )
    figure.add_scatter(
        x=info.numbers.tolist(),
        y=numbers(info.best),
        mode="lines",
        name="best so far",
        line={"color": INK, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
        legendgroup="best",
        showlegend=row == 1,
        row=row,
        col=1,
    )
    figure.update_yaxes(
        title_text=arrowed(info.name, info.direction).replace(" (", "<br>("),
        range=axis,
        row=row,
        col=1,
    )


def _hover(info: HistoryInfo, mask: Bools, row: int) -> dict[str, Any]:
    """Parameters are told once per trial, not in every panel: they are most of the figure."""
    if row > 1:
        return {"hovertemplate": "trial %{x}: %{y}<extra></extra>"}
    return {"hovertext": [info.labels[i] for i in np.flatnonzero(mask)], "hoverinfo": "text"}
