"""Terms of the Bayesian mixture in torch, with gradients (semantics 6).

Components are given by the lower Cholesky factors of their covariances, the *roots*.
"""

import math

import torch
from torch import Tensor

__all__ = ["log_density", "overlap"]


def log_density(points: Tensor, log_weights: Tensor, means: Tensor, roots: Tensor) -> Tensor:
    """Log of the mixture density at every point.

    The same as a mixture of multivariate normals of ``torch.distributions``, but each factor is
    inverted once instead of being solved for every point.

    Args:
        points: (M, d).
        log_weights: (K,).
        means: (K, d).
        roots: (K, d, d).

    Returns:
        (M,) [nats].
    """
    k, d = means.shape
    eye = torch.eye(d, dtype=points.dtype).expand(k, d, d)
    inverse = torch.linalg.solve_triangular(roots, eye, upper=False)
    centres = torch.einsum("kij,kj->ik", inverse, means)
    # (d, M, K): a sum over the leading axis runs along contiguous memory.
    white = torch.matmul(points, inverse.permute(1, 2, 0)) - centres[:, None, :]
    constant = log_weights - _half_log_det(roots) - d / 2 * math.log(2 * math.pi)
    return torch.logsumexp(constant - white.square().sum(0) / 2, dim=1)


def overlap(weights: Tensor, means: Tensor, roots: Tensor, *, weighted: bool = True) -> Tensor:
    """Overlap of components: sum_{k<l} w_k w_l BC_kl, or sum_{k<l} BC_kl (semantics 6.4).

    Args:
        weights: (K,).
        means: (K, d).
        roots: (K, d, d).
        weighted: whether a pair counts by the product of its weights.

    Returns:
        Scalar, 0 for components that are far apart.
    """
    first, second = torch.triu_indices(len(means), len(means), 1)
    covariances = roots @ roots.mT
    middle = torch.linalg.cholesky((covariances[first] + covariances[second]) / 2)
    gap = (means[first] - means[second])[..., None]
    distance2 = torch.linalg.solve_triangular(middle, gap, upper=False).square().sum((-2, -1))
    log_det = _half_log_det(roots)
    volume = _half_log_det(middle) - (log_det[first] + log_det[second]) / 2
    coefficient = torch.exp(-distance2 / 8 - volume)
    return (weights[first] * weights[second] * coefficient if weighted else coefficient).sum()


def _half_log_det(roots: Tensor) -> Tensor:
    """Half the log-determinant of each covariance."""
    return torch.diagonal(roots, dim1=-2, dim2=-1).log().sum(-1)
