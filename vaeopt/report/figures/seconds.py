"""Where the time of the trials goes."""

from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Floats, Ints
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.style import blank, numbers, styled
from vaeopt.study.fronts.pareto import finished

__all__ = ["SecondsInfo", "draw_seconds", "seconds_frame", "seconds_info"]

_REST = "rest"


class SecondsInfo(NamedTuple):
    """Wall time of each stage in every finished trial."""

    trial: Ints
    stages: list[str]
    """in the order of the flow; ``rest`` is everything else between start and end"""
    seconds: Floats
    """(trials, stages) [s]; NaN where nothing was recorded"""


def seconds_info(study: optuna.Study) -> SecondsInfo:
    """Seconds per stage, all trainings of a trial together.

    Trials that were trained together share their time, so that stages may sum to more than the
    time between start and end; then there is no rest.
    """
    trials, tables = [], []
    for trial in finished(study):
        first = trial.user_attrs.get("vaeopt:primitives", {})
        summed: dict[str, float] = {}
        for run in (first, *first.get("replicates", [])):
            for stage, seconds in run.get("seconds", {}).items():
                summed[stage] = summed.get(stage, 0.0) + (seconds or 0.0)
        if summed:
            whole = trial.duration.total_seconds() if trial.duration else 0.0
            trials.append(trial.number)
            tables.append({**summed, _REST: max(0.0, whole - sum(summed.values()))})
    stages = list(dict.fromkeys(stage for table in tables for stage in table if stage != _REST))
    stages = [*stages, _REST] if tables else []
    seconds = [[table.get(stage, np.nan) for stage in stages] for table in tables]
    return SecondsInfo(
        np.asarray(trials, np.int64),
        stages,
        np.asarray(seconds, np.float64).reshape(len(trials), len(stages)),
    )


def seconds_frame(info: SecondsInfo) -> pd.DataFrame:
    """One row per trial, one column per stage [s]."""
    columns = {f"{stage}_s": info.seconds[:, i] for i, stage in enumerate(info.stages)}
    return pd.DataFrame({"trial": info.trial, **columns})


def draw_seconds(info: SecondsInfo) -> go.Figure:
    """Stacked bars, one per trial; stages below 1 % of all are one colour."""
    if not len(info.trial):
        return blank("no finished trial has recorded its times")
    figure = go.Figure()
    total = np.nansum(info.seconds)
    shares = np.nansum(info.seconds, axis=0) / total if total > 0 else np.zeros(len(info.stages))
    big = [i for i, s in enumerate(info.stages) if shares[i] >= 0.01 and s != _REST]
    small = [i for i in range(len(info.stages)) if i not in big]
    parts = [
        (info.stages[i], info.seconds[:, i], shares[i], component_colour(k))
        for k, i in enumerate(big)
    ]
    rest = np.nansum(info.seconds[:, small], axis=1)
    if rest.any():
        parts.append(("all else", rest, shares[small].sum(), INFEASIBLE))
    for name, seconds, share, colour in parts:
        figure.add_bar(
            x=info.trial.tolist(),
            y=numbers(seconds),
            name=f"{name} ({100 * share:.0f} %)",
            marker={"color": colour, "line": {"width": 0}},
            customdata=info.trial.tolist(),
            hovertemplate="trial %{x}: %{y:.2f} s<extra></extra>",
        )
    styled(figure, "trial", "wall time (s)", height=400)
    figure.update_layout(
        barmode="stack",
        bargap=0.1 if len(info.trial) < 100 else 0,
        showlegend=True,
        legend={"traceorder": "normal"},
    )
    return figure
