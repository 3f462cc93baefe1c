"""How far rankings from repeated trainings can be trusted (semantics 10.2, 10.3)."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from vaeopt.core.types import Floats

__all__ = ["intraclass_correlation", "mean_kendall_tau", "runs_needed", "share_of_best"]


def mean_kendall_tau(table: Floats) -> float:
    """Mean of Kendall's tau-b between the rankings of every two repetitions.

    Args:
        table: (configurations, repetitions) values; NaN where there is none. Two repetitions are
            compared on the configurations that both have.

    Returns:
        In [-1, 1]: 1 if every repetition ranks alike, about 0 if ranks are chance. NaN if no two
        repetitions can be compared.
    """
    taus = []
    for first, second in itertools.combinations(table.T, 2):
        both = np.isfinite(first) & np.isfinite(second)
        a, b = first[both], second[both]
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            taus.append(float(kendalltau(a, b).statistic))
    return float(np.mean(taus)) if taus else math.nan


def intraclass_correlation(groups: Sequence[Floats]) -> float:
    """Share of the variance that lies between configurations: s_b^2 / (s_b^2 + s_w^2).

    Both variances come from a one-way analysis of variance; a negative estimate of s_b^2 counts as
    0. Groups may differ in size.

    Args:
        groups: one array per configuration, one value per repetition.

    Returns:
        In [0, 1]. NaN with fewer than two groups, without a group of two values, or if all values
        are equal.
    """
    held = [group for group in groups if len(group) > 0]
    sizes = np.asarray([len(group) for group in held], dtype=np.float64)
    n, k = sizes.sum(), len(held)
    if k < 2 or n <= k:
        return math.nan
    means = np.asarray([group.mean() for group in held])
    grand = (sizes * means).sum() / n
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in held) / (n - k)
    between = float((sizes * (means - grand) ** 2).sum()) / (k - 1)
    size = (n - (sizes**2).sum() / n) / (k - 1)  # the common size where all are equal
    variance = max(0.0, (between - within) / size)
    total = variance + within
    return float(variance / total) if total > 0 else math.nan


def share_of_best(groups: Sequence[Floats], *, draws: int = 2000, seed: int = 0) -> Floats:
    """How often each configuration has the lowest mean when its repetitions are drawn anew.

    Repetitions are drawn with replacement within each configuration; draws with equal means are
    split evenly. With few repetitions the bootstrap is too sure of itself: n values give a
    variance that is too small by the factor (n - 1) / n.

    Args:
        groups: one array of costs per configuration, at least one value each; lower is better.
        draws: bootstrap draws.
        seed: of the draws.

    Returns:
        (configurations,) shares in [0, 1] that sum to 1.
    """
    rng = np.random.default_rng(seed)
    means = np.stack(
        [group[rng.integers(len(group), size=(draws, len(group)))].mean(axis=1) for group in groups]
    )
    best = means == means.min(axis=0)
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))


def runs_needed(sd: float, difference: float) -> int | None:
    """Repetitions of each of two configurations that tell their means apart.

    Args:
        sd: standard deviation of one repetition.
        difference: between the two means, same unit.

    Returns:
        Least n with n >= 2 (1.96 sd / difference)^2, at least 1; None if there is no difference,
        which no number of repetitions can show.
    """
    if difference == 0:
        return None
    return max(1, math.ceil(2 * (1.96 * sd / difference) ** 2))
