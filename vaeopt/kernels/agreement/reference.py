"""Do neighbours agree, and do angles agree (semantics 8.1 and 11.2)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

__all__ = [
    "alike_kappa",
    "circular_agreement",
    "circular_resultant",
    "equal_ring_pairs",
    "ring_pairs",
    "spatial_kappa",
]

# factor * window is rounded in binary; a distance on the bound must count all the same.
_SLACK = 1 + 1e-12


def ring_pairs(yx_px: ArrayLike, inner_px: float, outer_px: float) -> int:
    """Number of ordered pairs of points with a distance in (inner, outer].

    Pairs are counted in a tree and never listed, so memory stays small for any number of points.

    Args:
        yx_px: (n, 2) positions [px].
        inner_px: pairs at this distance or closer do not count [px], at least 0.
        outer_px: pairs at this distance still count [px].

    >>> ring_pairs([(0, 0), (0, 3), (4, 0)], 3, 5)  # distances 3, 4 and 5
    4
    """
    points = np.asarray(yx_px, np.float64).reshape(-1, 2)
    if len(points) == 0:
        return 0
    tree = cKDTree(points)
    bounds = np.array([inner_px * _SLACK, outer_px * _SLACK])
    within = np.asarray(tree.count_neighbors(tree, bounds))
    return int(within[1] - within[0])


def equal_ring_pairs(labels: ArrayLike, yx_px: ArrayLike, inner_px: float, outer_px: float) -> int:
    """The same number for pairs with equal label; ``labels`` is (n,)."""
    values, points = np.asarray(labels), np.asarray(yx_px)
    return sum(ring_pairs(points[values == k], inner_px, outer_px) for k in np.unique(values))


def spatial_kappa(
    labels: ArrayLike,
    yx_px: ArrayLike,
    inner_px: float,
    outer_px: float,
    *,
    least_pairs: int = 1,
) -> float | None:
    """Cohen's kappa of neighbouring labels (semantics 8.1; Cohen 1960).

    kappa = (p_o - p_e) / (1 - p_e): p_o is the share of ordered pairs with a distance in
    (inner, outer] whose labels are equal, p_e = sum_k f_k^2 the share expected of labels with the
    same frequencies f_k and no order in space.

    Args:
        labels: (n,) one label per point.
        yx_px: (n, 2) positions [px].
        inner_px: pairs at this distance or closer do not count [px].
        outer_px: pairs at this distance still count [px].
        least_pairs: fewest ordered pairs that are worth a number.

    Returns:
        At most 1, all neighbours agree; 0 as many as by chance, and where all labels are equal;
        negative if fewer. None if there are fewer pairs than asked for, or none.
    """
    values = np.asarray(labels)
    pairs = ring_pairs(yx_px, inner_px, outer_px)
    if pairs < max(1, least_pairs):
        return None
    counts = np.unique(values, return_counts=True)[1]
    if len(counts) == 1:
        return 0.0
    observed = equal_ring_pairs(values, yx_px, inner_px, outer_px) / pairs
    expected = float(np.sum((counts / len(values)) ** 2))
    return (observed - expected) / (1 - expected)


def circular_resultant(
    phi_rad: ArrayLike, theta_rad: ArrayLike, *, order: int = 1, sign: int = -1
) -> float:
    """|mean exp(i m (phi + s theta))|: 1 if the angles differ by a constant, near 0 if unrelated.

    Args:
        phi_rad: (n,) angles [rad].
        theta_rad: (n,) angles to compare with [rad].
        order: m, the symmetry: angles that differ by a full turn / m count as equal.
        sign: s, -1 compares phi with theta, +1 with -theta.

    >>> round(circular_resultant([.4, 1.2, 2.9, -1.6, -2.9], [.1, 1, 2.5, -2, 3]), 6)  # T15
    0.996982
    """
    difference: NDArray[np.float64] = np.asarray(phi_rad, np.float64) + sign * np.asarray(
        theta_rad, np.float64
    )
    return float(np.abs(np.mean(np.exp(1j * order * difference))))


def alike_kappa(labels: ArrayLike, alike: ArrayLike) -> float | None:
    """Cohen's kappa of the labels of points that look alike (semantics 8.5).

    Args:
        labels: (n,) one label per point.
        alike: (n, k) indices of the points that look most like each; -1 does not count.

    Returns:
        At most 1, all agree; 0 as many as by chance, and where all labels are equal. None without
        any pair.

    >>> alike_kappa([0, 0, 1, 1], [[1], [0], [3], [-1]])
    1.0
    """
    values, others = np.asarray(labels), np.asarray(alike)
    row, column = np.nonzero(others >= 0)
    if len(row) == 0:
        return None
    counts = np.unique(values, return_counts=True)[1]
    if len(counts) == 1:
        return 0.0
    observed = float(np.mean(values[row] == values[others[row, column]]))
    expected = float(np.sum((counts / len(values)) ** 2))
    return (observed - expected) / (1 - expected)


def circular_agreement(phi_rad: ArrayLike, theta_rad: ArrayLike, *, order: int = 1) -> float:
    """R_m = max over s = +-1 of :func:`circular_resultant`, in [0, 1] (semantics 11.2).

    An angle that is learnt without labels has an arbitrary zero and an arbitrary sense of turning;
    neither counts.
    """
    return max(circular_resultant(phi_rad, theta_rad, order=order, sign=s) for s in (-1, 1))
