"""How well every reward judges the configurations of one scene (semantics 11.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.truth.cube import Cube
from vaeopt.truth.metrics import regret
from vaeopt.truth.ranks import spearman

__all__ = ["Judged", "halves", "judge", "means", "redrawn"]

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Every column on one scene."""

    rho: Reals
    """(m,) Spearman with the truth; NaN where the column has no values"""
    regret: Reals
    """(m,) the best less the pick; that of a random pick where the column has no values"""
    pick: NDArray[np.int64]
    """(m,) configuration that each column picks; -1 for none"""


def means(values: Reals, weights: NDArray[np.integer[Any]] | None = None) -> Reals:
    """Means over the trainings that have a value.

    Args:
        values: (n, s, ...).
        weights: (n, s) how often each training counts; once if left out.

    Returns:
        (n, ...); NaN without any.
    """
    known = np.isfinite(values)
    count = known.astype(np.float64)
    if weights is not None:
        count = count * weights.reshape(*weights.shape, *(1,) * (values.ndim - 2))
    total = (np.where(known, values, 0.0) * count).sum(axis=1)
    number = count.sum(axis=1)
    return np.asarray(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))


def judge(values: Reals, right: Reals, candidates: Flags) -> Judged:
    """Rank correlation and regret of every column.

    Args:
        values: (n, m) means over trainings, higher is better.
        right: (n,) how right every configuration is, mean over trainings.
        candidates: (n,) configurations that may be picked. The best is that of all configurations,
            so that a filter which takes the best one away is not rewarded.
    """
    allowed = candidates & np.isfinite(right)
    m = values.shape[1]
    rho = spearman(values[allowed], right[allowed])
    pick, regrets = np.full(m, -1), np.full(m, np.nan)
    finite = right[np.isfinite(right)]
    if len(finite):
        # Where nothing may be picked, a study would have to take what it gets.
        usual = right[allowed] if allowed.any() else finite
        chance = float(finite.max() - usual.mean())
        for j in range(m):
            offered = np.where(allowed, values[:, j], np.nan)
            lacks = regret(offered, right, "maximize")
            regrets[j] = chance if lacks is None else lacks
            if lacks is not None:
                pick[j] = int(np.nanargmax(offered))
    return Judged(rho=rho, regret=regrets, pick=pick)


def redrawn(cube: Cube, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each training counts (n, s) when those of every configuration are drawn anew."""
    n, s = cube.trained.shape
    weights = np.zeros((n, s), dtype=np.int64)
    for i in range(n):
        have = np.flatnonzero(cube.trained[i])
        if len(have):
            weights[i] = np.bincount(rng.choice(have, len(have)), minlength=s)
    return weights


def halves(cube: Cube) -> Iterator[tuple[Reals, Reals]]:
    """The truth (n,) of one half of the trainings and of the other, both ways round, in splits.

    What one half says of the other is the most that any reward could say of them.
    """
    right = cube.right
    s = right.shape[1]
    rng = np.random.default_rng(0)
    for _ in range(20 if s > 2 else 1):
        order = rng.permutation(s) if s > 2 else np.arange(s)
        first, second = order[: s // 2], order[s // 2 : 2 * (s // 2)]
        if len(first):
            one, other = means(right[:, first]), means(right[:, second])
            yield one, other
            yield other, one
