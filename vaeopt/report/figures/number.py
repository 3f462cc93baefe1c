"""How many components the trials found."""

from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Floats, Ints
from vaeopt.report.figures.curves import INVARIANCES, WINDOW
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, hover_label, numbers, pixels_axis, styled
from vaeopt.study.fronts.pareto import feasible
from vaeopt.study.results.access import candidates, trials_frame

__all__ = ["NumberInfo", "draw_number", "number_frame", "number_info"]

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


class NumberInfo(NamedTuple):
    """Number of components of every feasible trial."""

    components: Floats
    trial: Ints
    x: Floats
    """window [px] where it is searched, else the number of the trial"""
    by_window: bool
    group: list[str]
    """invariances"""
    labels: list[str]


def number_info(study: optuna.Study) -> NumberInfo:
    """Number of components against the window, or against the trial where that is constant."""
    frame = trials_frame(study)
    rows: list[dict[Any, Any]] = [] if frame.empty else candidates(frame).to_dict("records")
    rows = [r for r in rows if pd.notna(r.get("components"))]
    by_window = len({row[WINDOW] for row in rows if WINDOW in row}) > 1
    params = {trial.number: trial.params for trial in feasible(study)}
    return NumberInfo(
        components=np.asarray([row["components"] for row in rows], np.float64),
        trial=np.asarray([row["trial"] for row in rows], np.int64),
        x=np.asarray([row[WINDOW] if by_window else row["trial"] for row in rows], np.float64),
        by_window=by_window,
        group=[str(row.get(INVARIANCES, "all")) for row in rows],
        labels=[
            hover_label(row["trial"], params[row["trial"]], {"components": row["components"]})
            for row in rows
        ],
    )


def number_frame(info: NumberInfo) -> pd.DataFrame:
    """One row per feasible trial."""
    columns: dict[str, Any] = {"trial": info.trial, INVARIANCES: info.group}
    if info.by_window:
        columns["window_px"] = info.x
    return pd.DataFrame({**columns, "components": info.components})


def draw_number(info: NumberInfo, pixel_size_nm: float | None = None) -> go.Figure:
    """One point per trial; those that would cover each other stand side by side."""
    if not len(info.trial):
        return blank("no feasible trial has a mixture")
    figure = go.Figure()
    groups = sorted(set(info.group))
    values = np.unique(info.x)
    step = float(np.diff(values).min()) if len(values) > 1 else 1.0
    beside = _beside(info, groups) * step * 0.8 if info.by_window else np.zeros(len(info.x))
    for k, group in enumerate(groups):
        mask = np.asarray([g == group for g in info.group])
        figure.add_scatter(
            x=numbers(info.x[mask] + beside[mask]),
            y=numbers(info.components[mask]),
            mode="markers",
            name=group,
            marker={
                "color": component_colour(k),
                "symbol": _SYMBOLS[k % len(_SYMBOLS)],
                "size": 8,
                "line": {"width": 0.5, "color": "white"},
            },
            hovertext=[info.labels[i] for i in np.flatnonzero(mask)],
            hoverinfo="text",
            customdata=info.trial[mask].tolist(),
        )
    styled(figure, "trial", "number of components", height=380)
    figure.update_layout(showlegend=True, legend={"title": {"text": "invariances "}})
    top = float(info.components.max())
    figure.update_yaxes(range=[0.5, top + 0.5], dtick=1 if top <= 15 else None)
    if info.by_window:
        shown = values[:: -(-len(values) // 12)].tolist()
        figure.update_xaxes(**pixels_axis("window", shown, pixel_size_nm))
    return figure


def _beside(info: NumberInfo, groups: list[str]) -> Floats:
    """(n,) place in [-0.5, 0.5] within a window, by invariance and then by trial."""
    places = np.zeros(len(info.x))
    for x, y in set(zip(info.x.tolist(), info.components.tolist(), strict=True)):
        here = np.flatnonzero((info.x == x) & (info.components == y))
        here = np.asarray(sorted(here, key=lambda i: (groups.index(info.group[i]), info.trial[i])))
        places[here] = (np.arange(len(here)) + 0.5) / len(here) - 0.5 if len(here) > 1 else 0.0
    crowd = max(
        np.unique(np.stack([info.x, info.components]), axis=1, return_counts=True)[1].max(), 1
    )
    return np.asarray(places * min(1.0, 0.15 * crowd))
