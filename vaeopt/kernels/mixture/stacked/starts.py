"""Where EM starts for many sets of points: the starts of ``mixture.starts``, side by side."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vaeopt.kernels.mixture.batch import Layout, Parameters
from vaeopt.kernels.mixture.stacked.batch import assign, maximise
from vaeopt.kernels.mixture.stacked.climb import Stack, fresh, joined
from vaeopt.kernels.mixture.starts import APART, LLOYD, sequences

__all__ = ["neighbours", "seeded"]


def seeded(
    points: Sequence[Tensor],
    phi: Tensor,
    components: tuple[int, ...],
    n: int,
    rngs: Sequence[np.random.Generator],
) -> Stack:
    """Partitions by a few steps of k-means from k-means++ centres.

    The centres are drawn on the CPU, so that every device starts from the same.

    Args:
        points: (M, d) of every set, on the CPU.
        phi: (T, F, M) their features.
        components: every K, rising.
        n: starts per K.
        rngs: of the centres of every set.
    """
    d = points[0].shape[1]
    drawn = [sequences(own, n, max(components), rng) for own, rng in zip(points, rngs, strict=True)]
    sets = [torch.cat([own[:, :k].reshape(-1, d) for k in components]) for own in drawn]
    centres = torch.stack(sets).to(phi.device)
    layout = Layout(tuple(k for k in components for _ in range(n)))
    rest = phi.new_zeros(*centres.shape[:2], phi.shape[1] - d - 1)
    statistics = rest
    for _ in range(1 + LLOYD):
        # Nearest is where x c - c² / 2 is largest.
        constant = -centres.square().sum(2, keepdim=True) / 2
        statistics = assign(phi, torch.cat([constant, centres, rest], 2), layout)
        weight = statistics[..., :1]
        moved = statistics[..., 1 : d + 1] / weight.clamp(min=1e-300)
        centres = torch.where(weight > 0, moved, centres)
    return fresh(layout, statistics)


def neighbours(winners: Stack, ridge: Tensor) -> Stack | None:
    """Starts from the winners of K - 1, a component split, and of K + 1, a component removed.

    Args:
        winners: of every set one start per K.
        ridge: (T, d, d) added to covariances.

    Returns:
        Starts for every K whose neighbour is in the grid; None if there is none.
    """
    found: list[Stack] = []
    grid = set(winners.layout.sizes)
    for _, rows, k in winners.layout.runs:
        statistics = winners.statistics[:, rows]
        if k + 1 in grid:
            splits = _splits(maximise(statistics, ridge))
            found.append(fresh(Layout((k + 1,) * k), splits))
        if k - 1 in grid and k > 2:  # one component has a single optimum
            found.append(fresh(Layout((k - 1,) * k), _removals(statistics)))
    return joined(found) if found else None


def _splits(parent: Parameters) -> Tensor:
    """(T, K (K + 1), F): every component in turn halved along its longest axis."""
    t, k, _ = parent.means.shape
    values, vectors = torch.linalg.eigh(parent.covariances)
    gaps = APART * vectors[..., -1] * values[..., -1:].sqrt()
    inside = parent.covariances - gaps[..., :, None] * gaps[..., None, :]
    half = parent.weights / 2
    weights = _replaced(parent.weights, half, half)
    means = _replaced(parent.means, parent.means + gaps, parent.means - gaps)
    covariances = _replaced(parent.covariances, inside, inside)
    return _moments(weights, means, covariances).view(t, k * (k + 1), -1)


def _replaced(all_: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(T, K, K + 1, ...): for every j, all (T, K, ...) with j replaced by first, and second."""
    k = all_.shape[1]
    own = torch.eye(k, dtype=torch.bool, device=all_.device)
    own = own.view(k, k, *(1 for _ in all_.shape[2:]))
    return torch.cat([torch.where(own, first[:, None], all_[:, None]), second[:, :, None]], 2)


def _removals(statistics: Tensor) -> Tensor:
    """(T, K (K - 1), F): without every component in turn."""
    t, k, n_features = statistics.shape
    place = torch.arange(k - 1, device=statistics.device)
    others = place + (place >= torch.arange(k, device=statistics.device)[:, None])
    rest = statistics[:, others]
    return (rest / rest[..., :1].sum(2, keepdim=True)).view(t, k * (k - 1), n_features)


def _moments(weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """(..., F) statistics of these components."""
    d = means.shape[-1]
    row, column = torch.triu_indices(d, d, device=means.device)
    second = covariances[..., row, column] + means[..., row] * means[..., column]
    parts = [torch.ones_like(weights)[..., None], means, second]
    return weights[..., None] * torch.cat(parts, -1)
