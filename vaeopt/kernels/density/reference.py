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


def _log_density(
    z: ArrayLike, bandwidth: float, *, leave_one_out: bool, rows: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    points = np.asarray(z, dtype=np.float64)
    n, d = points.shape
    wanted = np.arange(n) if rows is None else rows
    norm = d * np.log(bandwidth) + d / 2 * np.log(2 * np.pi) + np.log(n - leave_one_out)
    squares = np.sum(points**2, axis=1)
    out = np.empty(len(wanted))
    for start in range(0, len(wanted), _BLOCK):
        block = wanted[start : start + _BLOCK]
        distance2 = squares[block, None] + squares[None, :] - 2 * points[block] @ points.T
        exponent = -np.maximum(distance2, 0.0) / (2 * bandwidth**2)
        if leave_one_out:
            exponent[np.arange(len(block)), block] = -np.inf
        out[start : start + _BLOCK] = logsumexp(exponent, axis=1) - norm
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


def log_density_loo(
    z: ArrayLike, bandwidth: float, *, rows: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """Log f_i, each point left out of its own density; -inf for a single point.

    Args:
        z: (n, d).
        bandwidth: standard deviation of the kernel, in the unit of z.
        rows: points whose density is wanted; None: all.

    Returns:
        (n,), or as many as there are rows.
    """
    if len(np.asarray(z)) < 2:
        return np.full(len(np.asarray(z)), -np.inf)
    return _log_density(z, bandwidth, leave_one_out=True, rows=rows)
