"""The same densities as :mod:`vaeopt.kernels.density.reference`, faster (semantics 4).

Each pair of points is met once, and sums are formed without the shift of a log-sum-exp; the few
points for which that is not exact go through the reference. Torch, float64, one thread on the CPU.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vaeopt.kernels.density import reference

__all__ = ["log_density", "log_density_loo"]

_CPU = torch.device("cpu")
_BLOCK = 512  # points of a block: a block of pairs stays in the cache of one core
_DEVICE_PAIRS = 2**26  # of a block on a GPU: 512 MB
# Below, exponentials leave the normal numbers, and processors take a hundred times as long.
_LEAST = -600.0
_LONELY = 1e-200  # sums below this are lost to what has been cut off


def log_density(
    z: ArrayLike, bandwidth: float, *, device: torch.device = _CPU
) -> NDArray[np.float64]:
    """Log f_i, each point counted in its own density.

    Args:
        z: (n, d).
        bandwidth: standard deviation of the kernel, in the unit of z.
        device: where all pairs of points are compared.

    Returns:
        (n,)
    """
    points = np.asarray(z, dtype=np.float64)
    return _finished(points, bandwidth, 1.0 + _sums(points / bandwidth, device), len(points))


def log_density_loo(
    z: ArrayLike, bandwidth: float, *, device: torch.device = _CPU
) -> NDArray[np.float64]:
    """Log f_i, each point left out of its own density; -inf for a single point.

    Arguments as for :func:`log_density`.
    """
    points = np.asarray(z, dtype=np.float64)
    if len(points) < 2:
        return np.full(len(points), -np.inf)
    sums = _sums(points / bandwidth, device)
    found = _finished(points, bandwidth, np.maximum(sums, _LONELY), len(points) - 1)
    lonely = np.flatnonzero(sums <= _LONELY)
    if len(lonely):
        found[lonely] = reference.log_density_loo(points, bandwidth, rows=lonely)
    return found


def _finished(
    points: NDArray[np.float64], bandwidth: float, sums: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    d = points.shape[1]
    return np.asarray(np.log(sums) - d * np.log(bandwidth) - d / 2 * np.log(2 * np.pi) - np.log(n))


def _sums(scaled: NDArray[np.float64], device: torch.device) -> NDArray[np.float64]:
    """(n,) sum over the other points of exp(-distance² / 2)."""
    x = torch.from_numpy(scaled - scaled.mean(axis=0)).to(device)
    half = -x.square().sum(1, keepdim=True) / 2
    one = torch.ones_like(half)
    left, right = torch.cat([x, half, one], 1), torch.cat([x, one, half], 1)
    if device.type != "cpu":
        return _by_rows(left, right).cpu().numpy()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so their last digit, is the same everywhere
    try:
        return _by_pairs(left, right).numpy()
    finally:
        torch.set_num_threads(threads)


def _by_pairs(left: Tensor, right: Tensor) -> Tensor:
    """Blocks that stay in a cache, each pair of them once."""
    sums = left.new_zeros(len(left))
    starts = range(0, len(left), _BLOCK)
    for i in starts:
        for j in starts[i // _BLOCK :]:
            rows, columns = slice(i, i + _BLOCK), slice(j, j + _BLOCK)
            pairs = torch.mm(left[rows], right[columns].T).clamp_(_LEAST, 0.0).exp_()
            if i == j:
                pairs.fill_diagonal_(0.0)
            else:
                sums[columns] += pairs.sum(0)
            sums[rows] += pairs.sum(1)
    return sums


def _by_rows(left: Tensor, right: Tensor) -> Tensor:
    """Few large blocks, whole rows of pairs each: half of the work is done twice."""
    step = max(1, _DEVICE_PAIRS // max(1, len(right)))
    found = []
    for first, rows in enumerate(torch.split(left, step)):
        pairs = torch.mm(rows, right.T).clamp_(_LEAST, 0.0).exp_()
        pairs.diagonal(first * step).zero_()
        found.append(pairs.sum(1))
    return torch.cat(found)
