"""Gaussian mixtures and their criteria, float64 (semantics 5). All in nats."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, xlogy

__all__ = [
    "aic",
    "bhattacharyya",
    "bic",
    "effective_components",
    "entropy",
    "icl_hard",
    "icl_paper",
    "icl_quarter",
    "icl_soft",
    "log_joint",
    "log_likelihood",
    "mahalanobis2",
    "n_free_parameters",
    "overlap",
    "perplexity",
    "responsibilities",
    "structural_cost",
    "whitening",
]

Float64s = NDArray[np.float64]


def mahalanobis2(z: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> Float64s:
    """(n, K) squared Mahalanobis distance of n points (n, d) to K Gaussians."""
    centred = np.asarray(z, np.float64)[:, None, :] - np.asarray(means, np.float64)[None]
    root = np.linalg.cholesky(np.asarray(covariances, np.float64))
    solved = np.linalg.solve(root[None], centred[..., None])[..., 0]
    return np.asarray(np.sum(solved**2, axis=-1))


def log_joint(
    z: ArrayLike, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike
) -> Float64s:
    """(n, K) log w_k N(z_i; mean_k, cov_k)."""
    covariances = np.asarray(covariances, np.float64)
    d = covariances.shape[-1]
    log_det = np.linalg.slogdet(covariances)[1]
    with np.errstate(divide="ignore"):  # an empty component has log-weight -inf
        log_w = np.log(np.asarray(weights, np.float64))
    norm = (d * np.log(2 * np.pi) + log_det) / 2
    return np.asarray(log_w - norm - mahalanobis2(z, means, covariances) / 2)


def log_likelihood(joint: ArrayLike) -> Float64s:
    """(n,) log of the mixture density, from :func:`log_joint`."""
    return np.asarray(logsumexp(np.asarray(joint), axis=1))


def responsibilities(joint: ArrayLike) -> Float64s:
    """(n, K) tau_ik, from :func:`log_joint`."""
    joint = np.asarray(joint)
    return np.asarray(np.exp(joint - logsumexp(joint, axis=1, keepdims=True)))


def entropy(tau: ArrayLike) -> float:
    """H_total = -sum tau log tau, with 0 log 0 = 0.

    >>> round(entropy([[1, 0, 0], [.5, .5, 0], [.2, .3, .5]]), 6)  # T10
    1.7228
    """
    t = np.asarray(tau, np.float64)
    return float(-np.sum(xlogy(t, t))) + 0.0  # no negative zero


def n_free_parameters(n_components: int, latent_dim: int) -> int:
    """P = (K-1) + K d + K d (d+1)/2.

    >>> n_free_parameters(2, 2)  # T2
    11
    """
    k, d = n_components, latent_dim
    return (k - 1) + k * d + k * d * (d + 1) // 2


def bic(log_likelihood_total: float, n_free: int, n_points: int) -> float:
    """-2 L + p log M, lower is better."""
    return float(-2 * log_likelihood_total + n_free * np.log(n_points))


def aic(log_likelihood_total: float, n_free: int) -> float:
    """-2 L + 2 p, lower is better."""
    return -2 * log_likelihood_total + 2 * n_free


def structural_cost(bic_total: float, entropy_total: float, n_points: int, weight: float) -> float:
    """J(w) = BIC / (2 M) + w H_total / M [nats per sample], lower is better (semantics 5.4)."""
    return bic_total / (2 * n_points) + weight * entropy_total / n_points


def icl_paper(bic_total: float, entropy_total: float) -> float:
    """BIC + H (the paper's equation 5 with H the Shannon entropy) = 2 M J(1/2)."""
    return bic_total + entropy_total


def icl_soft(bic_total: float, entropy_total: float) -> float:
    """BIC + 2 H (ICL of the clustering literature, soft form) = 2 M J(1)."""
    return bic_total + 2 * entropy_total


def icl_hard(bic_total: float, map_log_responsibility_total: float) -> float:
    """BIC - 2 sum_i log max_k tau_ik (ICL, MAP form; Biernacki 2000)."""
    return bic_total - 2 * map_log_responsibility_total


def icl_quarter(bic_total: float, entropy_total: float) -> float:
    """BIC / 4 + H = (M / 2) J(2)."""
    return bic_total / 4 + entropy_total


def effective_components(weights: ArrayLike, share: float = 0.2) -> int:
    """Components heavier than ``share`` of the heaviest.

    >>> effective_components([.40, .25, .15, .09, .08, .02, .01])  # T10
    4
    """
    w = np.asarray(weights, np.float64)
    # .08 > .2 * .40 must be false although .2 * .40 rounds below .08 in binary.
    return int(np.sum(w > share * w.max() * (1 + 1e-12)))


def perplexity(weights: ArrayLike) -> float:
    """exp(-sum w log w): number of components in a smooth sense."""
    w = np.asarray(weights, np.float64)
    return float(np.exp(-np.sum(xlogy(w, w))))


def bhattacharyya(means: ArrayLike, covariances: ArrayLike) -> Float64s:
    """(K, K) Bhattacharyya coefficients exp(-DB) of K Gaussians: 1 on the diagonal, 0 far apart.

    DB = dm' S^-1 dm / 8 + log(det S / sqrt(det S_k det S_l)) / 2 with S = (S_k + S_l) / 2
    (Bhattacharyya 1943; semantics 6.4).
    """
    m, s = np.asarray(means, np.float64), np.asarray(covariances, np.float64)
    middle = (s[:, None] + s[None, :]) / 2
    gap = m[:, None] - m[None, :]
    distance2 = np.sum(gap * np.linalg.solve(middle, gap[..., None])[..., 0], axis=-1)
    log_det = np.linalg.slogdet(s)[1]
    volume = np.linalg.slogdet(middle)[1] - (log_det[:, None] + log_det[None, :]) / 2
    return np.asarray(np.exp(-distance2 / 8 - volume / 2))


def overlap(
    weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, *, weighted: bool = True
) -> float:
    """sum_{k<l} w_k w_l BC_kl: 0 for separate components (semantics 6.4).

    With ``weighted=False`` sum_{k<l} BC_kl, in which empty components count like heavy ones.
    """
    w = np.asarray(weights, np.float64)
    pairs = bhattacharyya(means, covariances)
    return float(np.sum(np.triu(np.outer(w, w) * pairs if weighted else pairs, k=1)))


def whitening(z: ArrayLike, space: str) -> tuple[Float64s, Float64s]:
    """Shift (d,) and matrix W (d, d) that take z into fit space: (z - shift) @ W.T.

    Args:
        z: (n, d) points whose mean and covariance (ddof = 0) decide.
        space: ``raw`` (W = 1), ``standard`` (unit variance per axis) or ``whiten`` (unit
            covariance; symmetric root, so that axes keep their meaning).

    Raises:
        numpy.linalg.LinAlgError: the points do not span the space.
    """
    points = np.asarray(z, np.float64)
    d = points.shape[1]
    if space == "raw":
        return np.zeros(d), np.eye(d)
    covariance = np.atleast_2d(np.cov(points, rowvar=False, ddof=0))
    values: NDArray[Any]
    if space == "standard":
        values, vectors = np.diag(covariance), np.eye(d)
    else:
        values, vectors = np.linalg.eigh(covariance)
    if not (values > 1e-12 * max(float(values.max()), 1e-300)).all():
        raise np.linalg.LinAlgError("the points do not span the latent space")
    return points.mean(axis=0), np.asarray((vectors / np.sqrt(values)) @ vectors.T)
