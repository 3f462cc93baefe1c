"""The same in torch operations, block by block, forwards and straight back.

A block of patches is small enough for its activations to stay in the cache of a processor, so
nothing is stored for a later pass, and the latents are never repeated for every pixel.
"""

import torch
from torch import Tensor

from vaeopt.kernels.decoder.problem import Answer, Problem, is_bf16
from vaeopt.kernels.elbo import fast as elbo

__all__ = ["evaluate"]

_BLOCK_BYTES = {"cpu": 2**20, "cuda": 2**28}  # of one layer's float32 activations
_NEAR_ZERO = 2e-2  # below it, the slope of the continuous Bernoulli's constant is its series


def evaluate(problem: Problem, gradients: bool) -> Answer:
    """Loss of every patch, and the gradients of their sum if asked for."""
    n, n_pixels = problem.pixels.shape
    width = problem.offset.shape[1]
    limit = _BLOCK_BYTES.get(problem.linear.device.type, _BLOCK_BYTES["cuda"])
    step = max(1, limit // (4 * n_pixels * width))
    network = _Network(problem)
    per_patch = torch.empty(n, dtype=problem.offset.dtype, device=problem.offset.device)
    for first in range(0, n, step):
        block = slice(first, first + step)
        per_patch[block] = network.forward(block)
        if gradients:
            network.backward(block)
    return Answer(per_patch, network.gradients if gradients else ())


class _Network:
    """Weights in the format of the products, activations of one block, sums of all blocks."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        dtype = torch.bfloat16 if is_bf16(problem.precision) else problem.offset.dtype
        *hidden, out_weight, self.out_bias = (p.detach() for p in problem.parameters)
        self.weights = [weight.to(dtype) for weight in hidden[::2]]
        self.biases = [bias.to(dtype) for bias in hidden[1::2]]
        self.out_weight = out_weight.reshape(-1)
        self.dtype = dtype
        ones = torch.ones_like(problem.grid[:, :1])
        self.grid = torch.cat([problem.grid, ones], dim=1)  # the offset as a third coordinate
        wanted = (problem.linear, problem.offset, *problem.parameters)
        self.gradients = tuple(torch.zeros_like(t.detach()) for t in wanted)
        self.values: list[Tensor] = []
        self.slope = self.grid

    def forward(self, block: slice) -> Tensor:
        """Loss (n,) of the patches of a block; keeps what the way back needs."""
        problem = self.problem
        linear, offset = problem.linear.detach()[block], problem.offset.detach()[block]
        grid = problem.grid.expand(len(linear), -1, -1)
        first = torch.baddbmm(offset.unsqueeze(1), grid, linear.mT).tanh_()
        h = first.flatten(0, 1).to(self.dtype)
        self.values = [h]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = torch.addmm(bias, h, weight.mT).tanh_()
            self.values.append(h)
        logits = (h.to(self.out_weight.dtype) @ self.out_weight + self.out_bias).view(
            len(linear), -1
        )
        pixels = problem.pixels[block]
        self.slope = _slope(pixels, logits, problem.likelihood, problem.gaussian_sd)
        nll = elbo.nll(pixels, logits, problem.likelihood, gaussian_sd=problem.gaussian_sd)
        return nll.sum(-1)

    def backward(self, block: slice) -> None:
        """Add the gradients of the block that went forward last."""
        by_linear, by_offset, *by_hidden, by_out_weight, by_out_bias = self.gradients
        wide = self.out_weight.dtype
        slope = self.slope.reshape(-1)
        by_out_weight += (slope @ self.values[-1].to(wide)).view_as(by_out_weight)
        by_out_bias += slope.sum()
        d = torch.outer(slope, self.out_weight).to(self.dtype)
        for layer in reversed(range(len(self.weights))):
            d = torch.ops.aten.tanh_backward(d, self.values[layer + 1])
            by_hidden[2 * layer] += d.mT @ self.values[layer]
            by_hidden[2 * layer + 1] += d.sum(0, dtype=wide)
            d = d @ self.weights[layer]
        d = torch.ops.aten.tanh_backward(d, self.values[0]).to(wide)
        by_pose = d.view(len(self.slope), -1, d.shape[1]).mT @ self.grid
        by_linear[block] = by_pose[..., :2]
        by_offset[block] = by_pose[..., 2]


def _slope(pixels: Tensor, logits: Tensor, likelihood: str, gaussian_sd: float) -> Tensor:
    """Slope of a pixel's loss by its logit."""
    mean = torch.sigmoid(logits)
    if likelihood == "gaussian":  # 1 - mean would round to 0
        return (mean - pixels) / gaussian_sd**2 * mean * torch.sigmoid(-logits)
    if likelihood == "bernoulli":
        return mean - pixels
    near = logits.abs() < _NEAR_ZERO
    safe = torch.where(near, torch.ones_like(logits), logits)
    constant = torch.where(near, logits / 6 - 7 * logits**3 / 360, 1 / safe - 1 / torch.sinh(safe))
    return mean - pixels - constant
