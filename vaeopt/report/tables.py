"""Tables for people."""

import math
from typing import Any

import optuna
import pandas as pd

from vaeopt.study.access import metric_names, trials_frame

__all__ = ["best_frame", "format_frame"]


def best_frame(study: optuna.Study, *, most: int = 10) -> pd.DataFrame:
    """The trials worth looking at: the front of several objectives, or the top of one.

    Args:
        study: at least one finished trial.
        most: rows at the most for one objective; a front is given whole.
    """
    frame = trials_frame(study)
    if frame.empty:
        return frame
    good = frame[frame["feasible"]]
    several = len(study.directions) > 1
    rising = study.directions[0] == optuna.study.StudyDirection.MINIMIZE
    chosen = good[good["front"]] if several else good
    table = chosen.sort_values([metric_names(study)[0], "trial"], ascending=[rising, True])
    if not several:
        table = table.head(most)
    return table.drop(columns=["state", "feasible", "front", "reason"]).reset_index(drop=True)


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
