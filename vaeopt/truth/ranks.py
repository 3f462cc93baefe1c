"""Ranks and their correlation, for many columns with gaps at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["FEWEST", "rank_sum", "spearman"]

FEWEST = 4
"""configurations that a rank correlation is worth anything for"""

Reals = NDArray[np.floating[Any]]


def spearman(columns: Reals, target: Reals) -> NDArray[np.float64]:
    """Spearman's rho of every column with the target; ties get their mean rank.

    Args:
        columns: (n, m); rows without a value (NaN) do not count for that column.
        target: (n,); rows without a value count for none.

    Returns:
        (m,) in [-1, 1]; 0 for a column or a target whose values are all the same, which tells
        nothing; NaN for fewer than four rows.

    >>> spearman(np.array([[1.0, 3], [2, 2], [3, 1], [4, 0]]), np.array([0.1, 0.2, 0.3, 0.9]))
    array([ 1., -1.])
    """
    columns, target = np.asarray(columns, np.float64), np.asarray(target, np.float64)
    known = np.isfinite(columns) & np.isfinite(target)[:, None]
    found = np.full(columns.shape[1], np.nan)
    whole = known.all(axis=0)
    if len(target) >= FEWEST and whole.any():
        found[whole] = _correlations(columns[:, whole], target)
    for j in np.flatnonzero(~whole):
        rows = known[:, j]
        if rows.sum() >= FEWEST:
            found[j] = _correlations(columns[rows, j : j + 1], target[rows])[0]
    return found


def _correlations(columns: Reals, target: Reals) -> NDArray[np.float64]:
    ranks = rankdata(columns, axis=0)
    ranks = ranks - ranks.mean(axis=0)
    other = rankdata(target)
    other = other - other.mean()
    scale = np.sqrt((ranks**2).sum(axis=0) * (other**2).sum())
    products = ranks.T @ other
    return np.asarray(np.divide(products, scale, out=np.zeros(len(products)), where=scale > 0))


def rank_sum(columns: Reals) -> NDArray[np.float64]:
    """Mean rank of every row over several columns, each as a share of its rows.

    Args:
        columns: (n, m), higher is better.

    Returns:
        (n,) in (0, 1]; NaN where one of the columns has no value.
    """
    found = np.full(columns.shape, np.nan)
    for j, column in enumerate(np.asarray(columns, np.float64).T):
        known = np.isfinite(column)
        if known.any():
            found[known, j] = rankdata(column[known]) / known.sum()
    return np.asarray(found.mean(axis=1))
