"""Tables for people."""

import math
from collections.abc import Mapping
from typing import Any

import optuna
import pandas as pd

from vaeopt.study.asking.repeats import over_trainings
from vaeopt.study.fronts.pareto import margin, representatives
from vaeopt.study.fronts.preferences import distances, win_share
from vaeopt.study.results.access import candidates, metric_names, trials_frame
from vaeopt.study.results.confirmation import Confirmation, Ranking
from vaeopt.study.results.rescore import Rescored
from vaeopt.study.results.stored import stored_score, stored_scores

__all__ = ["best_frame", "confirm_frame", "confirm_lines", "format_frame", "rescored_frame"]


def best_frame(
    study: optuna.Study,
    *,
    most: int = 10,
    weights: Mapping[str, float] | None = None,
    order_by: str | None = None,
    recorded: bool = True,
) -> pd.DataFrame:
    """The trials worth looking at: the front of several objectives, or the top of one.

    Several objectives add a column ``win_share``, weights a column ``distance``.

    Args:
        study: with or without finished trials.
        most: rows at the most for one objective; a front is given whole.
        weights: order by the distance to the ideal point, objectives weighed so (by name).
        order_by: order by this stored score; trials without it come last.
        recorded: also show scores that are stored and neither optimised nor ordered by; there may
            be too many for a terminal.

    Raises:
        StudyError: weights that make no order, or a score that is not stored.
    """
    score = None if order_by is None else stored_score(study, order_by)
    far = None if weights is None else distances(study, weights)
    frame = trials_frame(study)
    if frame.empty:
        return frame
    good = candidates(frame)
    several = len(study.directions) > 1
    table = (good[good["front"]] if several else good).copy()
    if several:
        table["win_share"] = table["trial"].map(win_share(study))
    key, rising = metric_names(study)[0], _rising(study)
    if far is not None:
        table["distance"] = table["trial"].map(far)
        key, rising = "distance", True
    elif score is not None:
        table[score.label] = table["trial"].map(dict(score.values)).astype(float)
        key, rising = score.label, score.direction == "minimize"
    table = table.sort_values([metric_names(study)[0], "trial"], ascending=[_rising(study), True])
    table = table.sort_values(key, ascending=rising, kind="stable", na_position="last")
    if not several:
        table = table.head(most)
    left_out = {"state", "feasible", "front", "superseded", "reason"}
    if not recorded:
        others = stored_scores(study).keys() - {*metric_names(study), order_by}
        left_out |= others | {f"{name} sd" for name in others} | {"loss"}
    return table.drop(columns=[c for c in table if c in left_out]).reset_index(drop=True)


def _rising(study: optuna.Study) -> bool:
    """Whether the best value of the first objective is the least."""
    return study.directions[0] == optuna.study.StudyDirection.MINIMIZE


def confirm_frame(confirmation: Confirmation) -> pd.DataFrame:
    """One row per leader, the winner first: values of the search beside those of fresh trainings.

    Columns per reward: its value in the search, ``fresh`` mean, ``sd`` of one training, share of
    bootstrap draws in which it is ``best``; then ``n`` healthy and ``collapsed`` trainings.
    """
    rows = []
    for last in confirmation.overall.order:
        row: dict[str, Any] = {"trial": last.trial}
        for ranking in confirmation.rankings:
            (one,) = (s for s in ranking.standings if s.trial == last.trial)
            row[ranking.label] = one.search
            row[f"{ranking.label} fresh"] = one.mean
            row[f"{ranking.label} sd"] = one.sd
            row[f"{ranking.label} best"] = one.share_best
        rows.append({**row, "n": last.n, "collapsed": last.collapsed})
    whole = {"trial", "n", "collapsed"}
    frame = pd.DataFrame(rows)
    # None everywhere would make a column of objects, which is not shown as numbers are.
    return frame.astype({name: float for name in frame.columns if name not in whole})


def confirm_lines(confirmation: Confirmation) -> list[str]:
    """How far each ranking can be trusted, and the sentence."""
    return [*(_trust(ranking) for ranking in confirmation.rankings), confirmation.sentence]


def _trust(ranking: Ranking) -> str:
    def shown(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.2f}"

    needed = "unknown" if ranking.runs_needed is None else str(ranking.runs_needed)
    return (
        f"{ranking.label}: Kendall tau between seeds {shown(ranking.kendall_tau)}, "
        f"ICC {shown(ranking.icc)}, trainings to tell the first two apart {needed}"
    )


def rescored_frame(study: optuna.Study, rescored: Rescored) -> pd.DataFrame:
    """One row per trial with a value, best first, collapsed ones last.

    The values of the search stand beside it; a reward that was an objective too stands there with
    ``search`` behind its name.
    """
    label, names = rescored.label, metric_names(study)
    rows = []
    trials = representatives(study)
    scores = {trial.number: over_trainings(trial, rescored.scores) for trial in trials}
    repeated = any(score is not None and score.n > 1 for score in scores.values())
    for trial in trials:
        score = scores[trial.number]
        if score is None:
            continue
        row: dict[str, Any] = {"trial": trial.number, label: score.value}
        if repeated:
            row[f"{label} sd"] = score.sd
        row["feasible"] = margin(trial) <= 0
        for name, value in zip(names, trial.values, strict=True):
            row[name if name != label else f"{name} search"] = value
        rows.append(row | trial.params)
    if not rows:
        return pd.DataFrame()
    rising = rescored.direction == "minimize"
    order = ["feasible", label, "trial"]
    table = pd.DataFrame(rows).sort_values(order, ascending=[False, rising, True])
    return table.reset_index(drop=True)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


def format_frame(frame: pd.DataFrame) -> str:
    """A frame as plain aligned text, numbers to the right.

    >>> print(format_frame(pd.DataFrame({"trial": [3, 12], "gain": [1.25, 0.5]})))
    trial  gain
        3  1.25
       12   0.5
    """
    cells = [[str(c) for c in frame.columns]]
    cells += [[_cell(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(frame.columns))]
    right = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
