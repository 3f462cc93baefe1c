"""Each objective in the order of the trials."""

from typing import NamedTuple

import numpy as np
import optuna
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.style import styled
from vaeopt.study.fronts.pareto import margin, representatives
from vaeopt.study.results.access import metric_names

__all__ = ["HistoryInfo", "draw_history", "history_info"]


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
            customdata=info.numbers[mask],
            mode="markers",
            name=name,
            marker={"color": colour},
        )
    figure.add_scatter(
        x=info.numbers, y=info.best, mode="lines", name="best so far", line={"color": "black"}
    )
    return styled(figure, "trial", info.name)
