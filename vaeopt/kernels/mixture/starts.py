"""Where expectation maximisation starts: k-means++, and neighbours in K."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vaeopt.kernels.mixture.batch import Layout, Parameters, assign, maximise
from vaeopt.kernels.mixture.climb import Starts, fresh, joined

__all__ = ["APART", "LLOYD", "neighbours", "seeded", "sequences"]

LLOYD = 2  # steps of k-means; EM does the rest
APART = 0.8  # halves of a split component lie this many standard deviations from its mean


def seeded(
    points: Tensor, phi: Tensor, components: tuple[int, ...], n: int, rng: np.random.Generator
) -> Starts:
    """Partitions by a few steps of k-means from k-means++ centres (Arthur and Vassilvitskii 2007).

    The first K centres of one sequence are a start for K, so one sequence serves every K.

    Args:
        points: (M, d).
        phi: (F, M) their features.
        components: every K, rising.
        n: starts per K.
        rng: of the centres.
    """
    d = points.shape[1]
    drawn = sequences(points, n, max(components), rng)
    centres = torch.cat([drawn[:, :k].reshape(-1, d) for k in components])
    layout = Layout(tuple(k for k in components for _ in range(n)))
    coefficients = points.new_zeros(len(centres), len(phi))
    for _ in range(1 + LLOYD):
        # Nearest is where x c - c² / 2 is largest.
        coefficients[:, 0] = -centres.square().sum(1) / 2
        coefficients[:, 1 : d + 1] = centres
        statistics = assign(phi, coefficients, layout)
        weight = statistics[:, :1]
        moved = statistics[:, 1 : d + 1] / weight.clamp(min=1e-300)
        centres = torch.where(weight > 0, moved, centres)
    return fresh(layout, statistics)


def sequences(points: Tensor, n: int, length: int, rng: np.random.Generator) -> Tensor:
    """(n, length, d) centres, each drawn by its squared distance to those before."""
    m, d = points.shape
    squares = points.square().sum(1)
    draws = torch.from_numpy(rng.random((length, n)))
    centres = points.new_empty(n, length, d)
    nearest = points.new_full((n, m), math.inf)
    picked = (draws[0] * m).long()
    for j in range(length):
        centre = points[picked]
        centres[:, j] = centre
        distance2 = squares + centre.square().sum(1)[:, None] - 2 * centre @ points.T
        nearest = torch.minimum(nearest, distance2.clamp_(min=0))
        if j + 1 < length:
            summed = nearest.cumsum(1)
            wanted = draws[j + 1][:, None] * summed[:, -1:]
            picked = torch.searchsorted(summed, wanted).flatten().clamp(max=m - 1)
    return centres


def neighbours(winners: Starts, ridge: Tensor) -> Starts | None:
    """Starts from the winners of K - 1, a component split, and of K + 1, a component removed.

    Args:
        winners: one start per K.
        ridge: (d, d) added to covariances.

    Returns:
        Starts for every K whose neighbour is in the grid; None if there is none.
    """
    found: list[Starts] = []
    grid = set(winners.layout.sizes)
    for i, k in enumerate(winners.layout.sizes):
        statistics = winners.take(torch.tensor([i])).statistics
        if k + 1 in grid:
            found += [fresh(Layout((k + 1,)), s) for s in _splits(maximise(statistics, ridge))]
        if k - 1 in grid and k > 2:  # one component has a single optimum
            found += [fresh(Layout((k - 1,)), s) for s in _removals(statistics)]
    return joined(found) if found else None


def _splits(parent: Parameters) -> Iterator[Tensor]:
    """Statistics with one component halved along its longest axis, mean and covariance kept."""
    values, vectors = torch.linalg.eigh(parent.covariances)
    gaps = APART * vectors[..., -1] * values[:, -1:].sqrt()
    inside = parent.covariances - gaps[:, :, None] * gaps[:, None, :]
    for j, gap in enumerate(gaps):
        half = parent.weights[j : j + 1] / 2
        weights = torch.cat([parent.weights, half])
        means = torch.cat([parent.means, (parent.means[j] - gap)[None]])
        covariances = torch.cat([parent.covariances, inside[j : j + 1]])
        weights[j], means[j], covariances[j] = half, parent.means[j] + gap, inside[j]
        yield _moments(weights, means, covariances)


def _removals(statistics: Tensor) -> Iterator[Tensor]:
    """Statistics without one of the components."""
    for j in range(len(statistics)):
        rest = torch.cat([statistics[:j], statistics[j + 1 :]])
        yield rest / rest[:, 0].sum()


def _moments(weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """(K, F) statistics of these components."""
    row, column = torch.triu_indices(means.shape[1], means.shape[1])
    second = covariances[:, row, column] + means[:, row] * means[:, column]
    return weights[:, None] * torch.cat([torch.ones_like(weights)[:, None], means, second], 1)
