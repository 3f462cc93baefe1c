"""Many Gaussian mixtures at once: one product for all log-densities, one for all statistics.

A Gaussian's log-density is linear in the features (1, x_i, x_i x_j) of a point, so that those of
all components of all mixtures are one product of matrices, and so are the sums that an update
needs. Torch, float64. A mixture of the batch is called a *start*; starts may differ in K.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Layout", "Parameters", "assign", "expect", "features", "maximise"]

_TALL = 131_072  # numbers of a block of densities: it stays in the cache of one core
# Sums of densities are formed without the usual shift by their largest term, which costs two
# more passes. Points that lie this far from all components of a start are done again with it.
_FAR = 1e-200
# Smaller numbers count as exp(-600): below, exponentials leave the normal numbers, and processors
# take a hundred times as long for them.
_LEAST = -600.0
# What remains of a variance when those before are known, as a share of it: less is rounding.
_SINGULAR = 1e-13
_EMPTY = 10 * torch.finfo(torch.float64).eps


def features(points: Tensor) -> Tensor:
    """(F, M) with rows 1, x_i and x_i x_j for i <= j; F = 1 + d + d (d + 1) / 2.

    Args:
        points: (M, d), of order one: products of large and small coordinates lose digits.
    """
    d = points.shape[1]
    row, column = torch.triu_indices(d, d)
    x = points.T
    return torch.cat([torch.ones_like(x[:1]), x, x[row] * x[column]]).contiguous()


@dataclass(frozen=True)
class Layout:
    """Where the components of each start stand: starts in order of K, components in a row."""

    sizes: tuple[int, ...]
    """K of every start, rising"""

    @cached_property
    def runs(self) -> list[tuple[slice, slice, int]]:
        """Starts of equal K: which starts, which components, K."""
        found, start, component = [], 0, 0
        for k in sorted(set(self.sizes)):
            n = self.sizes.count(k)
            found.append((slice(start, start + n), slice(component, component + n * k), k))
            start, component = start + n, component + n * k
        return found

    @cached_property
    def owner(self) -> Tensor:
        """(C,) number of the start of every component."""
        sizes = torch.tensor(self.sizes)
        return torch.repeat_interleave(torch.arange(len(sizes)), sizes)

    def rows(self, starts: Tensor) -> Tensor:
        """Rows of the components of these starts, in their order."""
        sizes = torch.tensor(self.sizes)
        first = torch.cumsum(sizes, 0) - sizes
        mine = sizes[starts]
        offset = first[starts] - (torch.cumsum(mine, 0) - mine)
        return torch.arange(int(mine.sum())) + torch.repeat_interleave(offset, mine)

    def of(self, starts: Tensor) -> "Layout":
        """The layout of these starts alone; they must rise in K."""
        return Layout(tuple(self.sizes[s] for s in starts.tolist()))


@dataclass(frozen=True)
class Parameters:
    """Components of all starts."""

    weights: Tensor
    """(C,)"""
    means: Tensor
    """(C, d)"""
    covariances: Tensor
    """(C, d, d)"""
    coefficients: Tensor
    """(C, F) of the weighted log-density, for :func:`features`"""
    proper: Tensor
    """(C,) whether the covariance is positive definite"""


def expect(phi: Tensor, coefficients: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Mean log-likelihood of every start (S,), and mean statistics of every component (C, F).

    Args:
        phi: (F, M) features.
        coefficients: (C, F).
        layout: which component belongs to which start.
    """
    n_points = phi.shape[1]
    total = phi.new_zeros(len(layout.sizes))
    statistics = torch.zeros_like(coefficients)
    for block in _blocks(phi, len(coefficients)):
        density = torch.mm(coefficients, block).clamp_(min=_LEAST).exp_()
        mixture = block.new_empty(len(total), block.shape[1])
        for starts, rows, k in layout.runs:
            torch.sum(density[rows].view(-1, k, block.shape[1]), 1, out=mixture[starts])
        low, high = (float(bound) for bound in mixture.aminmax())
        if low > _FAR and math.isfinite(high):
            total += mixture.log().sum(1)
            mixture.reciprocal_()
            for starts, rows, k in layout.runs:
                density[rows].view(-1, k, block.shape[1]).mul_(mixture[starts][:, None])
        else:
            total += _shifted(coefficients, block, layout, density).sum(1)
        statistics.addmm_(density, block.T)
    return total / n_points, statistics / n_points


def _blocks(phi: Tensor, n_components: int) -> tuple[Tensor, ...]:
    return torch.split(phi, max(64, _TALL // n_components), dim=1)


def _shifted(coefficients: Tensor, block: Tensor, layout: Layout, tau: Tensor) -> Tensor:
    """(S, B) log-likelihood, with the shift; writes responsibilities (C, B) into ``tau``."""
    found = block.new_empty(len(layout.sizes), block.shape[1])
    log = torch.mm(coefficients, block)
    for starts, rows, k in layout.runs:
        part = log[rows].view(-1, k, block.shape[1])
        found[starts] = torch.logsumexp(part, 1)
        part -= found[starts][:, None]
    torch.exp(log.clamp_(min=_LEAST), out=tau)
    return found


def assign(phi: Tensor, coefficients: Tensor, layout: Layout) -> Tensor:
    """As :func:`expect`, with every point given to its most probable component; statistics only."""
    statistics = torch.zeros_like(coefficients)
    for block in _blocks(phi, len(coefficients)):
        log = torch.mm(coefficients, block)
        for _, rows, k in layout.runs:
            part = log[rows].view(-1, k, block.shape[1])
            # Equal centres share their points.
            nearest = (part == part.amax(1, keepdim=True)).to(part.dtype)
            part.copy_(nearest / nearest.sum(1, keepdim=True))
        statistics.addmm_(log, block.T)
    return statistics / phi.shape[1]


def maximise(statistics: Tensor, ridge: Tensor) -> Parameters:
    """The components that these mean statistics make most probable.

    Args:
        statistics: (C, F) of :func:`expect`.
        ridge: (d, d) added to covariances, or (C, d, d).
    """
    d = ridge.shape[-1]
    row, column = torch.triu_indices(d, d, device=statistics.device)
    weights = statistics[:, 0] + _EMPTY
    means = statistics[:, 1 : d + 1] / weights[:, None]
    second = statistics[:, d + 1 :] / weights[:, None] - means[:, row] * means[:, column]
    second = second + ridge[..., row, column]
    packed = second.T.contiguous()  # (d (d + 1) / 2, C): arithmetic along contiguous memory
    matrix = packed.new_zeros(d, d, packed.shape[1])
    matrix[row, column] = packed
    matrix[column, row] = packed
    inverse, log_det, proper = _invert(matrix)
    precision = inverse[row, column].T * torch.where(row == column, -0.5, -1.0)
    linear = (inverse * means.T[None]).sum(1).T
    constant = weights.log() - (d * math.log(2 * math.pi) + log_det) / 2
    constant = constant - (linear * means).sum(1) / 2
    return Parameters(
        weights=weights,
        means=means,
        covariances=matrix.permute(2, 0, 1),
        coefficients=torch.cat([constant[:, None], linear, precision], dim=1),
        proper=proper,
    )


def _invert(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse and log-determinant of (d, d, C) symmetric matrices, and whether they are positive.

    By Gauss and Jordan over the leading axes, so that C matrices take d steps together. Those that
    are not positive definite get an identity.
    """
    d = len(matrix)
    a = matrix.clone()
    log_det = matrix.new_zeros(matrix.shape[2])
    proper = torch.ones_like(log_det, dtype=torch.bool)
    for j in range(d):
        pivot = a[j, j].clone()
        positive = pivot > _SINGULAR * matrix[j, j]
        proper &= positive
        pivot = torch.where(positive, pivot, 1.0)
        log_det += pivot.log()
        column = a[:, j].clone()
        row = a[j] / pivot
        a -= column[:, None] * row[None]
        a[:, j] = -column / pivot
        a[j] = row
        a[j, j] = 1 / pivot
    eye = torch.eye(d, dtype=matrix.dtype, device=matrix.device)[..., None]
    return torch.where(proper, a, eye), torch.where(proper, log_det, 0.0), proper
