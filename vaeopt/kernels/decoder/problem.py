"""What every engine is asked, and how its answer becomes part of a graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Answer", "Engine", "Problem", "SpatialNll", "as_graph", "is_bf16"]


class SpatialNll(NamedTuple):
    """Negative log-likelihood of a batch [nats]."""

    total: Tensor
    """() summed over pixels and patches, with gradients"""
    per_patch: Tensor
    """(n,) summed over pixels, without gradients"""


@dataclass(frozen=True)
class Problem:
    """A batch, the network that draws it, and what is taken for its noise."""

    linear: Tensor
    """(n, width, 2)"""
    offset: Tensor
    """(n, width)"""
    parameters: tuple[Tensor, ...]
    """weight (width, width) and bias (width) of every hidden layer, then (1, width) and (1)"""
    grid: Tensor
    """(pixels, 2)"""
    pixels: Tensor
    """(n, pixels)"""
    likelihood: str
    gaussian_sd: float
    precision: str
    threads: int | None = None

    def __post_init__(self) -> None:
        # A compiled kernel would read beyond the end of an array.
        n, width = self.offset.shape
        n_pixels = len(self.grid)
        layer = [(width, width), (width,)]
        shapes = [(n, width, 2), (n, width), *layer * (len(self.parameters) // 2 - 1)]
        shapes += [(1, width), (1,), (n_pixels, 2), (n, n_pixels)]
        found = [tuple(t.shape) for t in self.tensors]
        if found != shapes or len(self.parameters) < 4:
            raise ValueError(f"expected arrays of shapes {shapes}, got {found}")

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All arrays."""
        return (self.linear, self.offset, *self.parameters, self.grid, self.pixels)


class Answer(NamedTuple):
    """What an engine gives back."""

    per_patch: Tensor
    """(n,) [nats]"""
    gradients: tuple[Tensor, ...]
    """of the total, by ``linear``, ``offset`` and ``parameters``; empty if not asked for"""


Engine = Callable[[Problem, bool], Answer]
"""problem, whether gradients are asked for"""


def is_bf16(precision: str) -> bool:
    """Whether products are to be taken of numbers rounded to bf16."""
    return precision == "bf16"


class _OnePass(torch.autograd.Function):
    """Gradients come with the value, so that nothing per pixel has to be kept for later."""

    @staticmethod
    def forward(
        ctx: Any, engine: Engine, problem: Problem, *wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        per_patch, gradients = engine(problem, any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(per_patch)
        return per_patch.sum(), per_patch

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *torch._foreach_mul(ctx.saved_tensors, by_total))


def as_graph(engine: Engine, problem: Problem) -> SpatialNll:
    """The answer of an engine, differentiable by the arrays of the network."""
    wanted: Sequence[Tensor] = (problem.linear, problem.offset, *problem.parameters)
    if not torch.is_grad_enabled():
        per_patch = engine(problem, False).per_patch
        return SpatialNll(per_patch.sum(), per_patch)
    return SpatialNll(*_OnePass.apply(engine, problem, *wanted))  # type: ignore[no-untyped-call]  # torch's stub
