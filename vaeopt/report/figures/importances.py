"""Which parameters decide whether an objective is good."""

import warnings
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.importance import PedAnovaImportanceEvaluator

from vaeopt.core.types import Floats
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, numbers, styled, wrapped
from vaeopt.study.fronts.pareto import costs, feasible
from vaeopt.study.quiet import quiet_optuna
from vaeopt.study.results.access import metric_names

__all__ = ["ImportancesInfo", "draw_importances", "importances_frame", "importances_info"]

_FEWEST = 10
_TOP = 5  # the evaluator asks for at least five trials above its quantile


class ImportancesInfo(NamedTuple):
    """Share of each searched parameter in reaching the best trials of each objective."""

    objectives: list[str]
    parameters: list[str]
    """most important first, by the mean over objectives"""
    shares: Floats
    """(objectives, parameters), each row sums to 1; all 0 where no parameter matters"""
    n: int
    """feasible trials"""
    quantile: float
    """the best trials of an objective are this share of them"""


def importances_info(study: optuna.Study) -> ImportancesInfo:
    """PED-ANOVA of each objective over feasible trials.

    It compares how parameters are spread over the best trials with how they are spread over all
    (Watanabe et al. 2023). Nothing is said below 10 feasible trials. Parameters with one value
    only count 0.

    Source: https://arxiv.org/abs/2304.10255
    """
    trials, objectives = feasible(study), metric_names(study)
    names = sorted(set.intersection(*(set(t.params) for t in trials))) if trials else []
    n = len(trials)
    if n < _FEWEST or not names:
        return ImportancesInfo(objectives, [], np.zeros((len(objectives), 0)), n, np.nan)
    quantile = min(0.5, max(0.1, _TOP / n))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    rows = []
    for column in costs(study, trials).T:
        with quiet_optuna():
            alone = optuna.create_study(direction="minimize")
        alone.add_trials(
            [
                optuna.trial.create_trial(
                    value=float(cost), params=t.params, distributions=t.distributions
                )
                for cost, t in zip(column, trials, strict=True)
            ]
        )
        if np.ptp(column) == 0:  # all are the best: nothing decides
            rows.append(np.zeros(len(names)))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            found = optuna.importance.get_param_importances(
                alone, evaluator=evaluator, params=names, normalize=False
            )
        row = np.asarray([found.get(name, 0.0) for name in names])
        varied = np.asarray([len({t.params[name] for t in trials}) > 1 for name in names])
        row = np.where(varied, row, 0.0)
        rows.append(row / row.sum() if row.sum() > 0 else row)
    shares = np.asarray(rows)
    order = np.argsort(-shares.mean(axis=0), kind="stable")
    return ImportancesInfo(objectives, [names[i] for i in order], shares[:, order], n, quantile)


def importances_frame(info: ImportancesInfo) -> pd.DataFrame:
    """One row per objective and parameter."""
    return pd.DataFrame(
        [
            {"objective": objective, "parameter": name, "importance": share}
            for objective, row in zip(info.objectives, info.shares, strict=True)
            for name, share in zip(info.parameters, row, strict=True)
        ],
        columns=["objective", "parameter", "importance"],
    )


def draw_importances(info: ImportancesInfo) -> go.Figure:
    """A group of bars per parameter, one bar per objective."""
    if not info.parameters:
        return blank(f"importances need {_FEWEST} feasible trials and a searched parameter")
    figure = go.Figure()
    names = [wrapped(name, 24) for name in info.parameters]
    for k, (objective, row) in enumerate(zip(info.objectives, info.shares, strict=True)):
        figure.add_bar(
            y=names,
            x=numbers(row),
            orientation="h",
            name=objective,
            marker={"color": component_colour(k)},
            text=[f"{100 * share:.0f} %" for share in row],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    bars = len(names) * len(info.objectives)
    styled(figure, "share of the importance", height=130 + 24 * bars + 16 * len(names))
    figure.update_layout(barmode="group", bargap=0.25, showlegend=True)
    figure.update_layout(legend={"traceorder": "normal"})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(rangemode="tozero")
    return figure
