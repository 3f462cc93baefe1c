"""What each reward says of each window and invariance."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import optuna
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Floats
from vaeopt.report.palette import component_colour
from vaeopt.study.fronts.pareto import feasible
from vaeopt.study.results.access import candidates, metric_names, trials_frame
from vaeopt.study.results.records import scores_in

__all__ = ["Curve", "CurvesInfo", "curves_info", "draw_curves"]

Row = dict[Hashable, Any]
WINDOW, INVARIANCES = "patches.size_px", "vae.invariances"
_COLUMNS = 3


class Curve(NamedTuple):
    """One value against the window, for one set of invariances."""

    group: str
    window_px: Floats
    mean: Floats
    """over the feasible trials with this window and these invariances"""
    low: Floats
    high: Floats
    """least and greatest of them"""
    trials: list[str]
    """numbers of these trials, as text for the hover"""


class CurvesInfo(NamedTuple):
    """All curves of a study, by name of the value."""

    curves: dict[str, list[Curve]]


def _value_names(study: optuna.Study) -> list[str]:
    """Rewards and recorded scores, in the order of the study file."""
    trials = feasible(study)
    recorded = scores_in(trials[0]) if trials else {}
    names = metric_names(study)
    return names + [name for name in recorded if name not in names]


def curves_info(study: optuna.Study) -> CurvesInfo:
    """Training loss, number of components, rewards and scores against the window.

    Only feasible trials count. Empty if the window is not searched.
    """
    rows = _feasible_rows(study)
    if not rows or WINDOW not in rows[0]:
        return CurvesInfo({})
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get(INVARIANCES, "all")), []).append(row)
    names = ["loss", "components", *_value_names(study)]
    return CurvesInfo(
        {name: [_curve(group, groups[group], name) for group in sorted(groups)] for name in names}
    )


def _feasible_rows(study: optuna.Study) -> list[Row]:
    frame = trials_frame(study)
    return [] if frame.empty else candidates(frame).to_dict("records")


def _known(value: Any) -> bool:
    return value is not None and not np.isnan(value)


def _curve(group: str, rows: list[Row], name: str) -> Curve:
    by_window: dict[float, list[Row]] = {}
    for row in rows:
        if _known(row[name]):
            by_window.setdefault(row[WINDOW], []).append(row)
    windows = sorted(by_window)
    values = [np.asarray([row[name] for row in by_window[w]], np.float64) for w in windows]
    return Curve(
        group=group,
        window_px=np.asarray(windows, np.float64),
        mean=np.asarray([v.mean() for v in values]),
        low=np.asarray([v.min() for v in values]),
        high=np.asarray([v.max() for v in values]),
        trials=[", ".join(str(row["trial"]) for row in by_window[w]) for w in windows],
    )


def draw_curves(info: CurvesInfo) -> go.Figure:
    """One panel per value, one colour per set of invariances; bars from least to greatest."""
    rows = -(-len(info.curves) // _COLUMNS)
    figure = make_subplots(rows=rows, cols=_COLUMNS, subplot_titles=list(info.curves))
    for i, curves in enumerate(info.curves.values()):
        for k, curve in enumerate(curves):
            several = bool((curve.high > curve.low).any())
            figure.add_scatter(
                x=curve.window_px,
                y=curve.mean,
                mode="lines+markers",
                name=curve.group,
                legendgroup=curve.group,
                showlegend=i == 0,
                text=[f"trial {numbers}" for numbers in curve.trials],
                marker={"color": component_colour(k)},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": curve.high - curve.mean,
                    "arrayminus": curve.mean - curve.low,
                    "visible": several,
                },
                row=i // _COLUMNS + 1,
                col=i % _COLUMNS + 1,
            )
    figure.update_xaxes(title_text="window (px)")
    figure.update_layout(
        template="simple_white",
        height=280 * rows,
        margin={"l": 50, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1 + 0.12 / max(rows, 1), "yanchor": "bottom"},
    )
    return figure
