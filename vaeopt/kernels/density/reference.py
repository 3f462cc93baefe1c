"""Gaussian kernel density estimates with one bandwidth for all directions (semantics 4)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

__all__ = ["log_density", "log_density_loo", "scott_bandwidth"]

_BLOCK = 2048  # rows of the distance matrix held at once: memory stays at block * n * 8 bytes


def scott_bandwidth(n_points: int, latent_dim: int) -> float:
    """Scott's rule in units of the standard deviation: n^(-1/(d+4)).

    >>> round(scott_bandwidth(1000, 2), 4)
    0.3162
    """
    return float(n_points ** (-1 / (latent_dim + 4)))


def _log_density(z: ArrayLike, bandwidth: float, *, leave_one_out: bool) -> NDArray[np.float64]:
    points = np.asarray(z, dtype=np.float64)
    n, d = points.shape
    norm = d * np.log(bandwidth) + d / 2 * np.log(2 * np.pi) + np.log(n - leave_one_out)
    squares = np.sum(points**2, axis=1)
    out = np.empty(n)
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        distance2 = squares[rows, None] + squares[None, :] - 2 * points[rows] @ points.T
        exponent = -np.maximum(distance2, 0.0) / (2 * bandwidth**2)
        if leave_one_out:
            exponent[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = -np.inf
        out[rows] = logsumexp(exponent, axis=1) - norm
    return out


def log_density(z: ArrayLike, bandwidth: float) -> NDArray[np.float64]:
    """Log f_i, each point counted in its own density.

    Args:
        z: (n, d).
        bandwidth: standard deviation of the kernel, in the unit of z.

    Returns:
        (n,)
    """
    return _log_density(z, bandwidth, leave_one_out=False)


def log_density_loo(z: ArrayLike, bandwidth: float) -> NDArray[np.float64]:
    """Log f_i, each point left out of its own density; -inf for a single point."""
    if len(np.asarray(z)) < 2:
        return np.full(len(np.asarray(z)), -np.inf)
    return _log_density(z, bandwidth, leave_one_out=True)
