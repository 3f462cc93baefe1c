"""The same in torch operations, block by block, forwards and straight back.

The activations of a block are few enough to be kept until its way back follows, and the latents
are never repeated for every pixel. All blocks share their arrays: fresh ones of this size would
come from the system page by page.

With bf16, activations are narrow, and widened where torch is slow on narrow numbers: on a
processor, its tanh of a bf16 number takes five times as long as that of a float32 number.
"""

import functools

import torch
from torch import Tensor

from vaeopt.kernels.decoder.problem import Answer, Problem, is_bf16
from vaeopt.kernels.elbo import fast as elbo

__all__ = ["evaluate"]

# Of one layer. Smaller blocks would fit a cache better, but a bf16 product costs 20 us to start.
_BLOCK_BYTES = {"cpu": 2**21, "cuda": 2**28}
_NEAR_ZERO = 2e-2  # below it, the slope of the continuous Bernoulli's constant is its series
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def evaluate(problem: Problem, gradients: bool) -> Answer:
    """Loss of every patch, and the gradients of their sum if asked for."""
    n, n_pixels = problem.pixels.shape
    width = problem.offset.shape[1]
    dtype = torch.bfloat16 if is_bf16(problem.precision) else problem.offset.dtype
    limit = _BLOCK_BYTES.get(problem.linear.device.type, _BLOCK_BYTES["cuda"])
    step = max(1, min(n, limit // (dtype.itemsize * n_pixels * width)))
    network = _Network(problem, _Arrays(step * n_pixels, problem, dtype))
    per_patch = torch.empty(n, dtype=problem.offset.dtype, device=problem.offset.device)
    for first in range(0, n, step):
        block = slice(first, first + step)
        per_patch[block] = network.forward(block)
        if gradients:
            network.backward(block)
    return Answer(per_patch, network.gradients() if gradients else ())


class _Arrays:
    """Room for the activations of a block."""

    def __init__(self, rows: int, problem: Problem, dtype: torch.dtype) -> None:
        self.dtype, self.wide_dtype = dtype, problem.offset.dtype
        self.width = problem.offset.shape[1]
        self.n_values = len(problem.parameters) // 2
        self.n_spare = self.wide_dtype.itemsize // dtype.itemsize  # as long as one wide array
        size = (self.n_spare + self.n_values) * rows * self.width
        self.memory = torch.empty(size, dtype=dtype, device=problem.offset.device)
        self.resize(rows)

    def resize(self, rows: int) -> None:
        """Views of the memory for so many rows, no more than at first."""
        n = self.n_spare + self.n_values
        narrow = self.memory[: n * rows * self.width].view(n, rows, self.width)
        self.values = list(narrow[self.n_spare :])
        self.spare = narrow[0]
        wide = narrow[: self.n_spare].flatten().view(self.wide_dtype)  # shares memory with spare
        self.wide = wide.view(rows, self.width)

    def widened(self, narrow: Tensor) -> Tensor:
        """The same numbers, in ``wide`` unless they are wide already."""
        return narrow if self.dtype == self.wide_dtype else self.wide.copy_(narrow)


class _Network:
    """Weights in the format of the products, sums of all blocks."""

    def __init__(self, problem: Problem, arrays: _Arrays) -> None:
        self.problem, self.arrays = problem, arrays
        *hidden, out_weight, self.out_bias = (p.detach() for p in problem.parameters)
        self.out_weight = out_weight.reshape(-1)
        self.weights = [weight.to(arrays.dtype) for weight in hidden[::2]]
        self.biases = [bias.to(arrays.dtype) for bias in hidden[1::2]]
        # The slope of the last activations is that of the logit (by row) times these weights (by
        # column). Only the first factor is in the arrays; the second is here and in gradients().
        last = hidden[-2] * self.out_weight.unsqueeze(1)
        self.weights_back = [*self.weights[:-1], last.to(arrays.dtype)]
        ones = torch.ones_like(problem.grid[:, :1])
        self.grid = torch.cat([problem.grid, ones], dim=1)  # the offset as a third coordinate
        wanted = (problem.linear, problem.offset, *problem.parameters)
        self.sums = tuple(torch.zeros_like(t.detach()) for t in wanted)
        self.last = self.slope = self.grid

    def forward(self, block: slice) -> Tensor:
        """Loss (n,) of the patches of a block; keeps what the way back needs."""
        problem, arrays = self.problem, self.arrays
        pixels = problem.pixels[block]
        linear, offset = problem.linear.detach()[block], problem.offset.detach()[block]
        pose = torch.cat([linear.mT, offset.unsqueeze(1)], dim=1)
        if pixels.numel() != len(arrays.spare):
            arrays.resize(pixels.numel())
        h, values = arrays.wide, arrays.values
        torch.bmm(self.grid.expand(len(pose), -1, -1), pose, out=h.view(*pixels.shape, -1))
        values[0].copy_(h.tanh_())
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values[i + 1] = _linear_tanh(values[i], weight, bias, out=values[i + 1])
        self.last = h = arrays.widened(values[-1])
        logits = (h @ self.out_weight + self.out_bias).view_as(pixels)
        nll = elbo.nll(pixels, logits, problem.likelihood, gaussian_sd=problem.gaussian_sd)
        self.slope = _slope(pixels, logits, problem.likelihood, problem.gaussian_sd)
        return nll.sum(-1)

    def backward(self, block: slice) -> None:
        """Add the gradients of the block that went forward last; uses its values up."""
        by_linear, by_offset, *by_hidden, by_out_weight, by_out_bias = self.sums
        arrays, slope = self.arrays, self.slope.reshape(-1)
        by_out_weight += slope @ self.last
        by_out_bias += slope.sum()
        d = arrays.values[-1]
        _tanh_backward(slope.to(d.dtype).unsqueeze(1).expand_as(d), d, grad_input=d)
        for layer in reversed(range(len(self.weights))):
            value = arrays.values[layer]
            by_hidden[2 * layer] += d.mT @ value
            by_hidden[2 * layer + 1] += d.sum(0)
            torch.mm(d, self.weights_back[layer], out=arrays.spare)
            d = _tanh_backward(arrays.spare, value, grad_input=value)
        by_pose = self.grid.mT @ arrays.widened(d).view(*self.slope.shape, -1)
        by_linear[block] = by_pose[:, :2].mT
        by_offset[block] = by_pose[:, 2]

    def gradients(self) -> tuple[Tensor, ...]:
        """Of all blocks that went back, by pose and parameters."""
        *_, by_weight, by_bias, _, _ = self.sums
        by_weight *= self.out_weight.unsqueeze(1)
        by_bias *= self.out_weight
        return self.sums


def _linear_tanh(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """The result may be elsewhere than in ``out``."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and _has_linear_tanh():
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "tanh", [], "")
        return fused
    return torch.addmm(bias, x, weight.mT, out=out).tanh_()


@functools.cache
def _has_linear_tanh() -> bool:
    """Whether torch has its compiler's product and tanh in one, which rounds once."""
    operations = torch.ops.mkldnn
    return hasattr(operations, "_linear_pointwise") and operations._is_mkldnn_bf16_supported()


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
