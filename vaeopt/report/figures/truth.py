"""The benchmark figure: how well every reward ranks configurations, and what its picks cost."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Floats
from vaeopt.report.palette import component_colour
from vaeopt.report.style import GRID, INK, blank, numbers, styled
from vaeopt.truth import Summary

__all__ = ["BAR_REGRET", "BAR_RHO", "TruthInfo", "draw_truth", "truth_frame", "truth_info"]

BAR_RHO, BAR_REGRET = 0.85, 0.05
"""what a default reward should reach: mean Spearman at least, mean regret at most"""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "hexagram")
_ROW_PX = 22
_MOST = 30


class TruthInfo(NamedTuple):
    """Rewards from the best to the worst."""

    name: str
    rewards: list[str]
    families: list[str]
    rho: Floats
    """(m, 3) mean and bootstrap interval"""
    regret: Floats
    """(m, 3)"""
    rho_by_family: Floats
    """(m, families); NaN where the reward has no value"""
    regret_by_family: Floats
    references: list[tuple[str, float, float]]
    """name, rho and regret of what no reward is; NaN where it has none"""
    left_out: int
    """worse rewards that are not shown"""


def truth_info(summary: Summary, most: int = _MOST) -> TruthInfo:
    """Arrays of a benchmark.

    Args:
        summary: of its rows.
        most: rewards that are shown, the best ones.
    """
    shown = summary.rewards[:most]
    families = summary.families

    def known(value: float | None) -> float:
        return np.nan if value is None else value

    return TruthInfo(
        name=summary.name,
        rewards=[one.name for one in shown],
        families=families,
        rho=np.array([(o.rho.mean, o.rho.low, o.rho.high) for o in shown]).reshape(-1, 3),
        regret=np.array([(o.regret.mean, o.regret.low, o.regret.high) for o in shown]).reshape(
            -1, 3
        ),
        rho_by_family=np.array(
            [[known(o.rho_by_family[f]) for f in families] for o in shown]
        ).reshape(len(shown), -1),
        regret_by_family=np.array(
            [[o.regret_by_family[f] for f in families] for o in shown]
        ).reshape(len(shown), -1),
        references=[(o.name, known(o.rho), known(o.regret)) for o in summary.references],
        left_out=len(summary.rewards) - len(shown),
    )


def truth_frame(info: TruthInfo) -> pd.DataFrame:
    """One row per reward."""
    columns = {
        "reward": info.rewards,
        **dict(zip(("rho", "rho_low", "rho_high"), info.rho.T, strict=True)),
        **dict(zip(("regret", "regret_low", "regret_high"), info.regret.T, strict=True)),
        **{f"rho_{f}": info.rho_by_family[:, i] for i, f in enumerate(info.families)},
        **{f"regret_{f}": info.regret_by_family[:, i] for i, f in enumerate(info.families)},
    }
    return pd.DataFrame(columns)


def draw_truth(info: TruthInfo) -> go.Figure:
    """One line per reward: left its Spearman with the ARI, right the regret of its picks."""
    if not info.rewards:
        return blank("no training on a scan with several building blocks is finished")
    figure = make_subplots(
        1, 2, shared_yaxes=True, horizontal_spacing=0.04, column_widths=[0.55, 0.45]
    )
    sides = ((info.rho, info.rho_by_family), (info.regret, info.regret_by_family))
    for column, (means, by_family) in enumerate(sides, start=1):
        for i, family in enumerate(info.families):
            figure.add_scatter(
                x=numbers(by_family[:, i]),
                y=info.rewards,
                mode="markers",
                name=family,
                legendgroup=family,
                showlegend=column == 1,
                marker={
                    "color": component_colour(i),
                    "symbol": _SYMBOLS[i % len(_SYMBOLS)],
                    "size": 7,
                    "opacity": 0.85,
                },
                hovertemplate=f"%{{y}}<br>{family}: %{{x:.3f}}<extra></extra>",
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=numbers(means[:, 0]),
            y=info.rewards,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": numbers(means[:, 2] - means[:, 0]),
                "arrayminus": numbers(means[:, 0] - means[:, 1]),
                "color": INK,
                "thickness": 1.6,
                "width": 0,
            },
            mode="markers",
            name="mean, 95 % interval",
            legendgroup="mean",
            showlegend=column == 1,
            marker={"color": INK, "symbol": "line-ns-open", "size": 13, "line": {"width": 3}},
            hovertemplate="%{y}<br>mean: %{x:.3f}<extra></extra>",
            row=1,
            col=column,
        )
    _references(figure, info)
    styled(figure, height=190 + _ROW_PX * len(info.rewards))
    figure.update_xaxes(title_text="Spearman of reward and ARI (higher is better →)", row=1, col=1)
    figure.update_xaxes(title_text="regret in ARI (← lower is better)", row=1, col=2)
    figure.update_xaxes(zeroline=True, zerolinecolor=GRID, zerolinewidth=2)
    figure.update_yaxes(autorange="reversed", dtick=1, tickfont={"size": 12})
    figure.update_layout(width=1100, legend={"y": 1.05}, margin={"l": 190, "t": 70})
    return figure


def _references(figure: go.Figure, info: TruthInfo) -> None:
    """Lines across all rewards: the bar, and what needs no reward or no luck."""
    for column, bar in ((1, BAR_RHO), (2, BAR_REGRET)):
        figure.add_vline(
            x=bar,
            line={"color": INK, "width": 1, "dash": "dot"},
            annotation={"text": f"bar {bar:g}", "font": {"size": 11}, "yshift": 2},
            annotation_position="top",
            row=1,
            col=column,
        )
    for name, rho, regret in info.references:
        for column, value in ((1, rho), (2, regret)):
            if np.isfinite(value) and not (column == 1 and value == 0):
                figure.add_vline(
                    x=float(value),
                    line={"color": "#777777", "width": 1, "dash": "dash"},
                    annotation={"text": name, "font": {"size": 11}, "textangle": 0},
                    annotation_position="bottom",
                    row=1,
                    col=column,
                )
