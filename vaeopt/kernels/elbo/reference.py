"""Likelihoods per pixel and Gaussian KL divergences, float64, one expression per equation.

semantics 1.4, 2.3 and 7.1. All in nats.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, xlogy

__all__ = ["entropy_floor", "kl_gaussian", "nll"]

Float64s = NDArray[np.float64]


def _log_continuous_bernoulli_constant(mean: Float64s) -> Float64s:
    """Log C(m), C = 2 atanh(1 - 2 m) / (1 - 2 m), and 2 at m = 1/2 (Loaiza-Ganem 2019, eq. 5)."""
    away = 1 - 2 * mean
    near_half = np.abs(away) < 2e-3  # the quotient is 0/0 there: Taylor series instead
    safe = np.where(near_half, 0.5, away)
    series = np.log(2) + away**2 / 3 + 13 * away**4 / 90
    return np.where(near_half, series, np.log(2 * np.arctanh(safe) / safe))


def nll(
    pixels: ArrayLike, mean: ArrayLike, likelihood: str, *, gaussian_sd: float = 0.5
) -> Float64s:
    """Negative log-likelihood of each pixel.

    Args:
        pixels: values in [0, 1], any shape.
        mean: what the decoder says, in (0, 1), same shape.
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``.
        gaussian_sd: standard deviation of the Gaussian likelihood.

    Returns:
        [nats], same shape.

    >>> round(float(nll([0, .25, .5, 1], [.1, .3, .4, .9], "bernoulli").mean()), 6)  # T11
    0.373195
    """
    x, m = np.asarray(pixels, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    if likelihood == "gaussian":
        return np.asarray(
            ((x - m) / gaussian_sd) ** 2 / 2 + np.log(gaussian_sd) + np.log(2 * np.pi) / 2
        )
    bernoulli = -(xlogy(x, m) + xlogy(1 - x, 1 - m))
    if likelihood == "bernoulli":
        return np.asarray(bernoulli)
    return np.asarray(bernoulli - _log_continuous_bernoulli_constant(m))


def entropy_floor(pixels: ArrayLike, likelihood: str, *, gaussian_sd: float = 0.5) -> Float64s:
    """The least NLL that any decoder could reach on each pixel.

    The Bernoulli floor is -(x log x + (1 - x) log(1 - x)); it differs between windows, which is
    why NLL does not compare across them. The Gaussian one is that of a perfect mean. For the
    continuous Bernoulli no closed form exists and the floor is that of the mean x, at which the
    gradient of the plain Bernoulli part vanishes.

    >>> round(float(entropy_floor([0, .25, .5, 1], "bernoulli").mean()), 6)  # T11
    0.313871
    """
    x = np.asarray(pixels, dtype=np.float64)
    if likelihood == "gaussian":
        return nll(x, x, likelihood, gaussian_sd=gaussian_sd)
    if likelihood == "bernoulli":
        return np.asarray(entr(x) + entr(1 - x))
    edge = np.clip(x, 1e-6, 1 - 1e-6)  # log C(m) diverges at black and white
    return np.asarray(entr(x) + entr(1 - x) - _log_continuous_bernoulli_constant(edge))


def kl_gaussian(mean: ArrayLike, std: ArrayLike, prior_std: float = 1.0) -> Float64s:
    """KL( N(mean, std^2) || N(0, prior_std^2) ) [nats], elementwise.

    >>> round(float(kl_gaussian(0.4, 0.2, 0.1)), 6), round(float(kl_gaussian(0.4, 0.2)), 6)  # T8
    (8.806853, 1.209438)
    """
    m, s = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    ratio = s / prior_std
    return np.asarray(((m / prior_std) ** 2 + ratio**2 - 1) / 2 - np.log(ratio))
