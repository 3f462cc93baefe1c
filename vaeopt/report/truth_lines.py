"""How right the picks of one study are, for the terminal."""

import pandas as pd

from vaeopt.report.tables import format_frame
from vaeopt.study.results.access import spans
from vaeopt.truth import JudgedStudy

__all__ = ["truth_lines"]


def truth_lines(judged: JudgedStudy) -> list[str]:
    """A sentence on what is there, a row per pick, a sentence on the first of them."""
    count = len(judged.classes)
    if count == 1:
        lines = [f"truth: one building block ({judged.classes[0]}), there is nothing to tell apart"]
    else:
        lines = [f"truth: {count} building blocks ({', '.join(judged.classes)})"]
        lines += [_table(judged), *_first(judged)] if judged.picks else []
    if judged.verdict_right is not None:
        lines.append(f"the verdict on structure is {'right' if judged.verdict_right else 'wrong'}")
    if judged.without_files:
        lines.append(f"not compared, files missing or damaged: {spans(judged.without_files)}")
    return lines


def _table(judged: JudgedStudy) -> str:
    """Rows of one trial stand in one line."""
    rows: dict[int, dict[str, object]] = {}
    for one in judged.picks:
        row = rows.setdefault(
            one.trial,
            {
                "trial": one.trial,
                f"ARI (K = {len(judged.classes)})": _rounded(one.ari_true_k),
                "regret": _rounded(one.regret),
                "ARI (own K)": _rounded(one.ari_chosen),
                "own K": one.k_chosen,
                "k-NN": _rounded(one.knn15),
                "picked by": "",
            },
        )
        row["picked by"] = f"{row['picked by']}, {one.by}".removeprefix(", ")
    return format_frame(pd.DataFrame(list(rows.values())))


def _first(judged: JudgedStudy) -> list[str]:
    pick, best = judged.picks[0], judged.picks[-1]
    if pick.by != "pick":
        return ["no trial can be picked: all have collapsed"]
    if pick.ari_true_k is None or best.ari_true_k is None:
        return [f"trial {pick.trial} cannot be compared"]
    right = f"trial {pick.trial}: adjusted Rand index {pick.ari_true_k:.2f}"
    if best.trial == pick.trial:
        return [f"{right}, the best of the study"]
    return [f"{right}, of {best.ari_true_k:.2f} in the best (trial {best.trial})"]


def _rounded(value: float | None) -> float | None:
    # Not -0 where a regret is nothing but rounding.
    return None if value is None else round(value, 3) + 0.0
