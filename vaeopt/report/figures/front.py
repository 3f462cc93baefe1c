"""All trials in the space of the objectives."""

from typing import NamedTuple

import numpy as np
import optuna
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.style import short, styled
from vaeopt.study.fronts.pareto import feasible, front, representatives
from vaeopt.study.results.access import metric_names

__all__ = ["FrontInfo", "draw_front", "front_info"]


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
        labels=["<br>".join(f"{k} = {short(v)}" for k, v in t.params.items()) for t in trials],
    )


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
            "customdata": info.numbers[mask],
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
    return styled(figure, info.names[0], info.names[1])
