"""Which trials collapsed, where in the space, and why."""

import re
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vaeopt.core.types import Floats, Ints
from vaeopt.report.figures.curves import INVARIANCES, WINDOW
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, numbers, pixels_axis, styled, wrapped
from vaeopt.study.fronts.pareto import finished, margin

__all__ = ["CollapseInfo", "collapse_frame", "collapse_info", "draw_collapse"]


class CollapseInfo(NamedTuple):
    """Verdicts of the latent filter over all finished trials."""

    reasons: dict[str, int]
    """number of trials by test that was failed, most first; a trial may have failed several"""
    windows_px: list[float]
    """columns of the table; empty where the window is not searched"""
    groups: list[str]
    """rows of the table: invariances"""
    finished: Ints
    """(groups, windows) finished trials"""
    collapsed: Ints
    """(groups, windows) those that collapsed"""
    rows: list[dict[str, Any]]
    """one per collapsed trial"""


def collapse_info(study: optuna.Study) -> CollapseInfo:
    """Count trials by reason, and by window and invariance."""
    trials = finished(study)
    counts: dict[str, int] = {}
    rows = []
    for trial in trials:
        if margin(trial) <= 0:
            continue
        held = trial.user_attrs.get("vaeopt:primitives", {}).get("collapse", {})
        reasons = held.get("reasons") or ["margin above 0, no reason recorded"]
        for test in dict.fromkeys(map(_test, reasons)):
            counts[test] = counts.get(test, 0) + 1
        rows.append(
            {
                "trial": trial.number,
                "margin (log10)": margin(trial),
                **trial.params,
                "reason": "; ".join(reasons),
            }
        )
    windows = sorted({float(t.params[WINDOW]) for t in trials if WINDOW in t.params})
    groups = sorted({str(t.params.get(INVARIANCES, "all")) for t in trials})
    shape = (len(groups), max(1, len(windows)))
    done, bad = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for trial in trials:
        i = groups.index(str(trial.params.get(INVARIANCES, "all")))
        j = windows.index(float(trial.params[WINDOW])) if WINDOW in trial.params else 0
        done[i, j] += 1
        bad[i, j] += margin(trial) > 0
    ordered = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return CollapseInfo(ordered, windows, groups, done, bad, rows)


def _test(reason: str) -> str:
    """The test behind a reason, without its numbers.

    >>> _test("z3 is unused: KL 0.00039 nats < 0.05 (inactive_unit)")
    'a latent is unused (inactive_unit)'
    >>> _test("product of the variances 1.2e-07 < 0.05 (collapsed)")
    'product of the variances (collapsed)'
    """
    name = re.search(r"\(([a-z_]+)\)$", reason)
    words = re.sub(r"^z\d+ ", "a latent ", reason.split(":")[0])
    words = re.split(r"\s[-+]?\d", words.removesuffix(name[0]) if name else words)[0].strip()
    return f"{words} {name[0]}" if name else words


def collapse_frame(info: CollapseInfo) -> pd.DataFrame:
    """One row per collapsed trial: margin, parameters, reasons with their numbers."""
    columns = ["trial", "margin (log10)", "reason"]
    return pd.DataFrame(info.rows) if info.rows else pd.DataFrame(columns=columns)


def draw_collapse(info: CollapseInfo, pixel_size_nm: float | None = None) -> go.Figure:
    """Share of collapsed trials by window and invariance beside the count of reasons."""
    total = int(info.finished.sum())
    if not total:
        return blank("no trial has finished yet")
    if not info.rows:
        return blank(f"none of {total} finished trials collapsed")
    figure = make_subplots(rows=1, cols=2, column_widths=[0.52, 0.48], horizontal_spacing=0.24)
    share: Floats = np.where(
        info.finished > 0, info.collapsed / np.maximum(info.finished, 1), np.nan
    )
    texts = [
        [f"{b} of {d}" if d else "" for b, d in zip(bad, done, strict=True)]
        for bad, done in zip(info.collapsed, info.finished, strict=True)
    ]
    figure.add_heatmap(
        z=[numbers(100 * row) for row in share],
        x=[f"{w:g}" for w in info.windows_px] or ["all"],
        y=[wrapped(g, 14) for g in info.groups],
        zmin=0,
        zmax=100,
        colorscale=[(0.0, "#F7F7F7"), (1.0, component_colour(4))],
        text=texts,
        texttemplate="%{text}",
        textfont={"size": 12},
        xgap=2,
        ygap=2,
        hovertemplate="window %{x} px, %{y}: %{text} collapsed<extra></extra>",
        showscale=False,
        row=1,
        col=1,
    )
    figure.add_bar(
        x=list(info.reasons.values()),
        y=[wrapped(reason, 22) for reason in info.reasons],
        orientation="h",
        marker={"color": component_colour(4)},
        text=list(info.reasons.values()),
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=2,
    )
    styled(figure, height=max(300, 130 + 58 * max(len(info.groups), len(info.reasons))))
    if info.windows_px:
        ticks = pixels_axis("window", info.windows_px, pixel_size_nm)
        ticks["tickvals"] = [f"{w:g}" for w in info.windows_px]
        figure.update_xaxes(type="category", **ticks, row=1, col=1)
    figure.update_xaxes(title_text="collapsed trials", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(showgrid=False, ticks="", row=1, col=1)
    figure.update_yaxes(showgrid=False, ticks="", type="category")
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    return figure
