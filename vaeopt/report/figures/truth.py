"""The benchmark figure: how well every reward ranks configurations, and what its picks cost."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Floats
from vaeopt.report.palette import component_colour
from vaeopt.report.style import GRID, INK, blank, numbers, styled
from vaeopt.truth import RewardSummary, Summary

__all__ = [
    "BAR_REGRET",
    "BAR_RHO",
    "TARGETS",
    "TruthInfo",
    "draw_truth",
    "truth_frame",
    "truth_info",
]

BAR_RHO, BAR_REGRET = 0.85, 0.05
"""what a default reward should reach: mean Spearman at least, mean regret at most"""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagram")
_ROW_PX, _FRAME_PX, _WIDTH_PX = 22, 180, 1100
_MOST = 28


TARGETS = {
    "ari_true_k": "ARI",
    "ami_true_k": "AMI",
    "ari_own_true_k": "ARI of the own fit with the true K",
    "ari_chosen": "ARI at the chosen K",
    "ami_chosen": "AMI at the chosen K",
    "knn15": "k-NN accuracy",
}
"""names of the metrics that rewards are judged by"""


class TruthInfo(NamedTuple):
    """Rewards from the best to the worst."""

    name: str
    target: str
    """metric that rewards are judged by"""
    rewards: list[str]
    """with the number of others that judge alike, such as forms of one criterion"""
    families: list[str]
    rho: Floats
    """(m, 3) mean and bootstrap interval"""
    regret: Floats
    """(m, 3)"""
    rho_by_family: Floats
    """(m, families); NaN where the reward has no value"""
    regret_by_family: Floats
    references: list[str]
    """what no reward is"""
    reference_rho: Floats
    """(r, 1 + families) mean, then each family; NaN where there is none"""
    reference_regret: Floats
    left_out: int
    """rewards that are not shown"""


def truth_info(summary: Summary, most: int = _MOST) -> TruthInfo:
    """Arrays of a benchmark.

    Args:
        summary: of its rows.
        most: rewards that are shown: the best ones, and all that the truth file names.
    """
    groups = _alike(summary.rewards)
    shown = [group for i, group in enumerate(groups) if i < most or any(one.asked for one in group)]
    first = [group[0] for group in shown]
    families, references = summary.families, summary.references
    return TruthInfo(
        name=summary.name,
        target=TARGETS[summary.target],
        rewards=[_named(group) for group in shown],
        families=families,
        rho=_table([[o.rho.mean, o.rho.low, o.rho.high] for o in first], 3),
        regret=_table([[o.regret.mean, o.regret.low, o.regret.high] for o in first], 3),
        rho_by_family=_table(
            [[o.rho_by_family[f] for f in families] for o in first], len(families)
        ),
        regret_by_family=_table(
            [[o.regret_by_family[f] for f in families] for o in first], len(families)
        ),
        references=[one.name for one in references],
        reference_rho=_table(
            [[o.rho, *(o.rho_by_family.get(f) for f in families)] for o in references],
            1 + len(families),
        ),
        reference_regret=_table(
            [[o.regret, *(o.regret_by_family.get(f) for f in families)] for o in references],
            1 + len(families),
        ),
        left_out=sum(map(len, groups)) - sum(map(len, shown)),
    )


def _alike(rewards: Sequence[RewardSummary]) -> list[list[RewardSummary]]:
    """Rewards that rank and pick alike in every family, in the order of the first of each."""
    groups: dict[str, list[RewardSummary]] = {}
    for one in rewards:
        told = [*one.rho_by_family.values(), *one.regret_by_family.values()]
        key = ",".join("-" if value is None else f"{value:.9f}" for value in told)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _named(group: Sequence[RewardSummary]) -> str:
    """The reward that the file names, or else the one with the shortest name, for all of them."""
    best = min(group, key=lambda one: (not one.asked, len(one.name)))
    others = f" (+{len(group) - 1} alike)" if len(group) > 1 else ""
    return f"<b>{best.name}</b>{others}" if best.asked else f"{best.name}{others}"


def _table(rows: Sequence[Sequence[float | None]], columns: int) -> Floats:
    values = [[np.nan if v is None else v for v in row] for row in rows]
    return np.asarray(values, np.float64).reshape(len(rows), columns)


def truth_frame(info: TruthInfo) -> pd.DataFrame:
    """One row per reward that is shown."""
    columns = {
        "reward": info.rewards,
        **dict(zip(("rho", "rho_low", "rho_high"), info.rho.T, strict=True)),
        **dict(zip(("regret", "regret_low", "regret_high"), info.regret.T, strict=True)),
        **{f"rho_{f}": info.rho_by_family[:, i] for i, f in enumerate(info.families)},
        **{f"regret_{f}": info.regret_by_family[:, i] for i, f in enumerate(info.families)},
    }
    return pd.DataFrame(columns)


def draw_truth(info: TruthInfo) -> go.Figure:
    """One line per reward: left its Spearman with the truth, right the regret of its picks."""
    if not info.rewards:
        return blank("no training on a scan with several building blocks is finished")
    rows = [*info.rewards, *(f"<i>{name}</i>" for name in info.references)]
    figure = make_subplots(
        1, 2, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.55, 0.45]
    )
    sides = (
        (info.rho, info.rho_by_family, info.reference_rho),
        (info.regret, info.regret_by_family, info.reference_regret),
    )
    for column, (means, by_family, references) in enumerate(sides, start=1):
        each = np.concatenate([by_family, references[:, 1:]])
        for i, family in enumerate(info.families):
            _add_family(figure, rows, each[:, i], family, i, column)
        rest = np.repeat(references[:, :1], 3, axis=1)
        _add_means(figure, rows, np.concatenate([means, rest]), column)
    for column, bar in ((1, BAR_RHO), (2, BAR_REGRET)):
        figure.add_vline(
            x=bar,
            line={"color": INK, "width": 1, "dash": "dot"},
            annotation={"text": f"{bar:g}", "font": {"size": 11}},
            annotation_position="top",
            row=1,
            col=column,
        )
    styled(figure, height=_FRAME_PX + _ROW_PX * len(rows))
    better = "higher is better →", "← lower is better"
    figure.update_xaxes(title_text=f"Spearman with {info.target} ({better[0]})", row=1, col=1)
    figure.update_xaxes(title_text=f"{info.target} that its pick lacks ({better[1]})", row=1, col=2)
    figure.update_xaxes(zeroline=True, zerolinecolor=GRID, zerolinewidth=2)
    figure.update_yaxes(range=[len(rows) - 0.4, -0.6], dtick=1, tickfont={"size": 12})
    figure.update_yaxes(ticks="", showticklabels=False, col=2)
    figure.add_hline(y=len(info.rewards) - 0.5, line={"color": INK, "width": 1})
    figure.update_layout(
        width=_WIDTH_PX,
        margin={"l": 190, "t": 80},
        legend={"y": 1 + 34 / (_ROW_PX * len(rows)), "itemsizing": "constant"},
    )
    return figure


def _add_family(
    figure: go.Figure, rows: list[str], values: Floats, family: str, place: int, column: int
) -> None:
    figure.add_scatter(
        x=numbers(values),
        y=rows,
        mode="markers",
        name=family,
        legendgroup=family,
        showlegend=column == 1,
        marker={
            "color": component_colour(place),
            "symbol": _SYMBOLS[place % len(_SYMBOLS)],
            "size": 7,
            "line": {"width": 0.5, "color": "white"},
        },
        hovertemplate=f"%{{y}}<br>{family}: %{{x:.3f}}<extra></extra>",
        row=1,
        col=column,
    )


def _add_means(figure: go.Figure, rows: list[str], means: Floats, column: int) -> None:
    figure.add_scatter(
        x=numbers(means[:, 0]),
        y=rows,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": numbers(np.maximum(0, means[:, 2] - means[:, 0])),
            "arrayminus": numbers(np.maximum(0, means[:, 0] - means[:, 1])),
            "color": INK,
            "thickness": 1.4,
            "width": 0,
        },
        mode="markers",
        name="mean over families, 95 %",
        legendgroup="mean",
        showlegend=column == 1,
        marker={"color": INK, "symbol": "line-ns-open", "size": 12, "line": {"width": 3}},
        hovertemplate="%{y}<br>mean: %{x:.3f}<extra></extra>",
        row=1,
        col=column,
    )
