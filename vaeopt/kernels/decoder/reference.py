"""The loss of the spatial decoder as its equations stand, with gradients left to torch."""

import torch
from torch import Tensor

from vaeopt.kernels.decoder.problem import Problem, SpatialNll
from vaeopt.kernels.elbo import fast as elbo

__all__ = ["logits", "spatial_nll"]


def logits(problem: Problem) -> Tensor:
    """(n, pixels): h_0 = tanh(A g + c), h = tanh(W h + b) per layer, then w . h + b."""
    h = torch.tanh(problem.grid @ problem.linear.mT + problem.offset.unsqueeze(1))
    *hidden, out_weight, out_bias = problem.parameters
    for weight, bias in zip(hidden[::2], hidden[1::2], strict=True):
        h = torch.tanh(h @ weight.mT + bias)
    return (h @ out_weight.mT + out_bias).squeeze(-1)


def spatial_nll(problem: Problem) -> SpatialNll:
    """Sum of the likelihoods of all pixels, in the precision of the arrays."""
    nll = elbo.nll(
        problem.pixels, logits(problem), problem.likelihood, gaussian_sd=problem.gaussian_sd
    )
    return SpatialNll(nll.sum(), nll.detach().sum(-1))
