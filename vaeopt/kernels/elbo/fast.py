"""The same terms in torch, with gradients, from logits rather than means."""

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["entropy_floor", "kl_gaussian", "kl_sampled", "nll"]


def _log_continuous_bernoulli_constant(logits: Tensor) -> Tensor:
    """Log C(sigmoid(l)): with m = sigmoid(l), 2 atanh(1 - 2m) = -l and 1 - 2m = -tanh(l / 2)."""
    near_half = logits.abs() < 4e-3
    safe = torch.where(near_half, torch.ones_like(logits), logits)
    series = math.log(2) + logits**2 / 12
    return torch.where(near_half, series, torch.log(safe / torch.tanh(safe / 2)))


def nll(pixels: Tensor, logits: Tensor, likelihood: str, *, gaussian_sd: float = 0.5) -> Tensor:
    """Negative log-likelihood of each pixel [nats]; the decoder's mean is sigmoid(logits)."""
    if likelihood == "gaussian":
        constant = math.log(gaussian_sd) + math.log(2 * math.pi) / 2
        return ((pixels - torch.sigmoid(logits)) / gaussian_sd) ** 2 / 2 + constant
    bernoulli = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none")
    if likelihood == "bernoulli":
        return bernoulli
    return bernoulli - _log_continuous_bernoulli_constant(logits)


def entropy_floor(pixels: Tensor, likelihood: str, *, gaussian_sd: float = 0.5) -> Tensor:
    """The least NLL that any decoder could reach on each pixel [nats]."""
    if likelihood == "gaussian":
        constant = math.log(gaussian_sd) + math.log(2 * math.pi) / 2
        return torch.full_like(pixels, constant)
    bernoulli: Tensor = torch.special.entr(pixels) + torch.special.entr(1 - pixels)
    if likelihood == "bernoulli":
        return bernoulli
    edge = pixels.clamp(1e-6, 1 - 1e-6)  # log C(m) diverges at black and white
    return bernoulli - _log_continuous_bernoulli_constant(edge.logit())


def kl_gaussian(mean: Tensor, std: Tensor, prior_std: float = 1.0) -> Tensor:
    """KL( N(mean, std^2) || N(0, prior_std^2) ) [nats], elementwise."""
    ratio = std / prior_std
    return ((mean / prior_std) ** 2 + ratio**2 - 1) / 2 - torch.log(ratio)


def kl_sampled(sample: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """One-sample estimate of the KL from N(0, 1): log q(z) - log p(z) at z = mean + std * noise.

    What Pyro's ``Trace_ELBO`` uses; same expectation as :func:`kl_gaussian`, more noise.
    """
    return (sample**2 - noise**2) / 2 - torch.log(std)
