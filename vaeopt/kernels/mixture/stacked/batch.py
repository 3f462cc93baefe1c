"""The starts of many sets of points side by side: what ``mixture.batch`` does for one set.

All sets have the same numbers of points and dimensions, and the same starts. No function here
makes the host wait for a GPU.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeopt.kernels.mixture import batch
from vaeopt.kernels.mixture.batch import Layout, Parameters

__all__ = ["Places", "assign", "expect", "gathered", "maximise"]

_NUMBERS = 2**26  # of a block of densities: 512 MB


@dataclass(frozen=True)
class Places:
    """Where the components of each start stand, on the device."""

    owner: Tensor
    """(C,) number of the start of every component"""
    table: Tensor
    """(S, most K) its components; C where it has no more"""

    @classmethod
    def of(cls, layout: Layout, device: torch.device) -> "Places":
        """Those of a layout."""
        owner = [start for start, k in enumerate(layout.sizes) for _ in range(k)]
        first, most = [0, *itertools.accumulate(layout.sizes)], max(layout.sizes)
        table = [
            [*range(one, one + k), *[first[-1]] * (most - k)]
            for one, k in zip(first, layout.sizes, strict=False)
        ]
        return cls(torch.tensor(owner).to(device), torch.tensor(table).to(device))

    def sum(self, values: Tensor) -> Tensor:
        """(..., S) sums over the components of each start, of values (..., C).

        In a fixed order, which sums by atomic additions have not.
        """
        padded = torch.cat([values, torch.zeros_like(values[..., :1])], -1)
        return padded[..., self.table].sum(-1)

    def any(self, flags: Tensor) -> Tensor:
        """(..., S) whether a component of the start has the flag (..., C)."""
        return self.sum(flags.double()) > 0


def gathered(values: Tensor, index: Tensor) -> Tensor:
    """Of every set t the entries values[t, index[t]]."""
    shape = (*index.shape, *(1 for _ in values.shape[2:]))
    return torch.take_along_dim(values, index.view(shape), 1)


def expect(phi: Tensor, coefficients: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Mean log-likelihood of every start (T, S), and statistics of every component (T, C, F).

    Always with the shift by the largest term: to see whether it is needed would take a look.

    Args:
        phi: (T, F, M) features.
        coefficients: (T, C, F).
        layout: which component belongs to which start.
    """
    (t, _, n_points), n = phi.shape, len(layout.sizes)
    total, statistics = phi.new_zeros(t, n), torch.zeros_like(coefficients)
    for block in _blocks(phi, coefficients):
        log = torch.bmm(coefficients, block)
        for starts, rows, k in layout.runs:
            part = log[:, rows].view(t, -1, k, block.shape[2])
            mixture = torch.logsumexp(part, 2)
            total[:, starts] += mixture.sum(2)
            part -= mixture[:, :, None]
        statistics.baddbmm_(log.exp_(), block.mT)
    return total / n_points, statistics / n_points


def assign(phi: Tensor, coefficients: Tensor, layout: Layout) -> Tensor:
    """As :func:`expect`, with every point given to its most probable component; statistics only."""
    t, statistics = len(phi), torch.zeros_like(coefficients)
    for block in _blocks(phi, coefficients):
        log = torch.bmm(coefficients, block)
        for _, rows, k in layout.runs:
            part = log[:, rows].view(t, -1, k, block.shape[2])
            nearest = (part == part.amax(2, keepdim=True)).to(part.dtype)
            part.copy_(nearest / nearest.sum(2, keepdim=True))
        statistics.baddbmm_(log, block.mT)
    return statistics / phi.shape[2]


def _blocks(phi: Tensor, coefficients: Tensor) -> tuple[Tensor, ...]:
    t, c, _ = coefficients.shape
    return torch.split(phi, max(64, _NUMBERS // (t * c)), dim=2)


def maximise(statistics: Tensor, ridge: Tensor) -> Parameters:
    """The components that statistics (..., T, C, F) make most probable, with a ridge (T, d, d).

    The leading dimensions of all fields are those of the statistics.
    """
    shape, d = statistics.shape[:-1], ridge.shape[-1]
    each = ridge[:, None].expand(*shape, d, d).reshape(-1, d, d)
    found = batch.maximise(statistics.reshape(-1, statistics.shape[-1]), each)
    return Parameters(
        weights=found.weights.view(shape),
        means=found.means.view(*shape, d),
        covariances=found.covariances.reshape(*shape, d, d),
        coefficients=found.coefficients.view(*shape, -1),
        proper=found.proper.view(shape),
    )
