"""Whether rewards and scores agree, and what each would pick."""

from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import rankdata

from vaeopt.core.types import Floats, Ints
from vaeopt.report.style import Direction, blank, hover_label, numbers, styled, wrapped
from vaeopt.study.fronts.pareto import feasible
from vaeopt.study.results.access import candidates, trials_frame
from vaeopt.study.results.stored import stored_scores

__all__ = [
    "AgreementInfo",
    "PicksInfo",
    "agreement_frame",
    "agreement_info",
    "draw_agreement",
    "draw_picks",
    "picks_frame",
    "picks_info",
]

_FEWEST = 4  # trials that a rank correlation needs to say anything
# Blue to orange through white (Brewer's PuOr is like it): told apart by colour-blind readers.
_DIVERGING = [
    (0.0, "#B35806"),
    (0.25, "#FDB863"),
    (0.5, "#F7F7F7"),
    (0.75, "#7BB0DF"),
    (1, "#08519C"),
]
_RISING = [(0.0, "#F7F7F7"), (0.5, "#9CC4E4"), (1.0, "#08519C")]


class AgreementInfo(NamedTuple):
    """Rank correlation of every two rewards and scores."""

    names: list[str]
    directions: list[Direction]
    rho: Floats
    """(m, m) Spearman, all turned so that higher is better; NaN where there is nothing to rank"""
    n: int
    """feasible trials"""


class PicksInfo(NamedTuple):
    """How good the trial that one score picks is in the eyes of the others."""

    names: list[str]
    trials: Ints
    """(m,) trial that each of them picks"""
    place: Floats
    """(m, m) share of feasible trials that are no better than pick i in score j; 1 is the best"""
    labels: list[str]
    """number and parameters of each pick"""


def _values(study: optuna.Study) -> tuple[list[str], list[Direction], Ints, Floats]:
    """Goodness (n, m) of feasible trials: every score that is stored, higher is better."""
    frame = trials_frame(study)
    good = candidates(frame) if not frame.empty else frame
    stored = stored_scores(study)
    order = [n for n in study.metric_names or [] if n in stored]
    names = [*order, *(n for n in stored if n not in order)]
    names = [n for n in names if n in good and good[n].notna().any()]
    directions = [stored[n].direction for n in names]
    signs = np.asarray([-1.0 if d == "minimize" else 1.0 for d in directions])
    if good.empty or not names:
        return [], [], np.zeros(0, np.int64), np.zeros((0, 0))
    table = good[names].to_numpy(np.float64) * signs
    return names, directions, good["trial"].to_numpy(np.int64), table


def agreement_info(study: optuna.Study) -> AgreementInfo:
    """Spearman's rho of every two rewards and scores over the feasible trials that have both."""
    names, directions, trials, table = _values(study)
    m = len(names)
    rho = np.full((m, m), np.nan)
    for i in range(m):
        for j in range(m):
            both = np.isfinite(table[:, i]) & np.isfinite(table[:, j])
            if both.sum() < _FEWEST:
                continue
            first, second = rankdata(table[both, i]), rankdata(table[both, j])
            if np.ptp(first) > 0 and np.ptp(second) > 0:
                rho[i, j] = np.corrcoef(first, second)[0, 1]
    return AgreementInfo(names, directions, rho, len(trials))


def picks_info(study: optuna.Study) -> PicksInfo:
    """The best feasible trial of each score, and its place among all in every other one."""
    names, _, trials, table = _values(study)
    m = len(names)
    place = np.full((m, m), np.nan)
    best = [int(np.nanargmax(table[:, i])) for i in range(m)]
    for i, pick in enumerate(best):
        for j in range(m):
            column = table[:, j]
            known = np.isfinite(column)
            if known[pick] and known.any():
                place[i, j] = float(np.mean(column[known] <= column[pick]))
    params = {trial.number: trial.params for trial in feasible(study)}
    picked = trials[best] if m else np.zeros(0, np.int64)
    labels = [hover_label(int(n), params[int(n)], {}) for n in picked]
    return PicksInfo(names, picked, place, labels)


def agreement_frame(info: AgreementInfo) -> pd.DataFrame:
    """One row per pair."""
    return pd.DataFrame(
        [
            {"first": a, "second": b, "spearman": info.rho[i, j]}
            for i, a in enumerate(info.names)
            for j, b in enumerate(info.names)
            if i < j
        ],
        columns=["first", "second", "spearman"],
    )


def picks_frame(study: optuna.Study) -> pd.DataFrame:
    """Which feasible trial each reward and score would pick.

    Returns:
        One row per value: its name, direction, value, trial and the parameters of that trial.
    """
    names, directions, trials, table = _values(study)
    frame = trials_frame(study)
    params = {trial.number: trial.params for trial in feasible(study)}
    searched = sorted({name for held in params.values() for name in held})
    rows: list[dict[str, Any]] = []
    for i, (name, direction) in enumerate(zip(names, directions, strict=True)):
        number = int(trials[int(np.nanargmax(table[:, i]))])
        (row,) = frame[frame["trial"] == number].to_dict("records")
        rows.append(
            {
                "reward": name,
                "direction": direction,
                "value": row[name],
                "trial": number,
                **{p: params[number].get(p) for p in searched},
                "components": row.get("components"),
            }
        )
    return pd.DataFrame(rows)


def draw_agreement(info: AgreementInfo) -> go.Figure:
    """A square of numbers: 1 the same order, 0 no relation, -1 the opposite order."""
    if len(info.names) < 2 or info.n < _FEWEST:
        return blank(f"agreement needs two rewards or scores and {_FEWEST} feasible trials")
    names = [wrapped(name, 16) for name in info.names]
    text = [[f"{v:.2f}" if np.isfinite(v) else "" for v in row] for row in info.rho]
    figure = go.Figure()
    figure.add_heatmap(
        z=[numbers(row) for row in info.rho],
        x=names,
        y=names,
        zmin=-1,
        zmax=1,
        colorscale=_DIVERGING,
        text=text,
        texttemplate="%{text}",
        textfont={"size": 12},
        xgap=2,
        ygap=2,
        hovertemplate="%{y} and %{x}: %{z:.2f}<extra></extra>",
        colorbar={
            "title": {"text": "Spearman", "side": "right"},
            "thickness": 14,
            "tickvals": [-1, -0.5, 0, 0.5, 1],
        },
    )
    return _square(figure, len(names))


def draw_picks(info: PicksInfo) -> go.Figure:
    """Rows are the trials that are picked, columns the scores that judge them."""
    if len(info.names) < 2:
        return blank("picks need two rewards or scores and a feasible trial")
    names = [wrapped(name, 16) for name in info.names]
    rows = [f"{n}: {t}" for n, t in zip(names, info.trials, strict=True)]
    figure = go.Figure()
    figure.add_heatmap(
        z=[numbers(100 * row) for row in info.place],
        x=names,
        y=rows,
        zmin=0,
        zmax=100,
        colorscale=_RISING,
        text=[[f"{100 * v:.0f}" if np.isfinite(v) else "" for v in row] for row in info.place],
        texttemplate="%{text}",
        textfont={"size": 12},
        xgap=2,
        ygap=2,
        customdata=[[int(t)] * len(names) for t in info.trials],
        hovertext=[[label] * len(names) for label in info.labels],
        hovertemplate="%{hovertext}<br>%{x}: %{z:.0f} %<extra></extra>",
        colorbar={
            "title": {"text": "% of trials that are no better", "side": "right"},
            "thickness": 14,
        },
    )
    _square(figure, len(names))
    figure.update_xaxes(title_text="judged by")
    figure.update_yaxes(title_text="picked by: trial")
    return figure


def _square(figure: go.Figure, count: int) -> go.Figure:
    styled(figure, height=170 + 44 * count)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    figure.update_xaxes(showgrid=False, ticks="", tickangle=-35 if count > 5 else 0)
    return figure
