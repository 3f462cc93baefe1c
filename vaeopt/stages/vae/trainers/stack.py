"""Weights of several models side by side, their slopes, and the Adam that moves them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Layer", "Scratch", "Stack"]

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Layer(NamedTuple):
    """A linear layer of every member, with room for the slopes of the loss."""

    weight: Tensor
    """(members, outputs, inputs)"""
    bias: Tensor
    """(members, outputs)"""
    by_weight: Tensor
    by_bias: Tensor

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """(members, n, inputs) -> (members, n, outputs), written into ``out``."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT, out=out)

    def learn(self, by_output: Tensor, x: Tensor) -> None:
        """Fill in the slopes of weight and bias."""
        torch.bmm(by_output.mT, x, out=self.by_weight)
        torch.sum(by_output, 1, out=self.by_bias)

    def backward(self, by_output: Tensor, out: Tensor) -> Tensor:
        """The slope by the input, written into ``out``."""
        return torch.bmm(by_output, self.weight, out=out)


class Scratch:
    """Memory that every step uses again: the first touch of a page costs more than its numbers."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._tensors: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """An uninitialised tensor, the same one for the same name and shape."""
        key = (name, shape)
        if key not in self._tensors:
            self._tensors[key] = self._like.new_empty(shape)
        return self._tensors[key]


class Stack:
    """Everything that one Adam moves, in one array, as Adam works element by element.

    Args:
        values: (members, ...) of every weight by its name in a single model.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._flat = torch.cat([value.reshape(-1) for value in values.values()])
        self._flat.grad = torch.zeros_like(self._flat)
        self._shapes = {name: value.shape for name, value in values.items()}
        self._adam = torch.optim.Adam([self._flat], fused=True)
        self.values = self._views(self._flat)
        self.slopes = self._views(self._flat.grad)

    def layer(self, name: str) -> Layer:
        """The linear layer of this name."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        return Layer(self.values[weight], self.values[bias], self.slopes[weight], self.slopes[bias])

    def step(self, learning_rate: float) -> None:
        """Move all weights by their slopes."""
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()

    def member(self, position: int) -> dict[str, Tensor]:
        """A copy of the weights of one member."""
        return {name: value[position].clone() for name, value in self.values.items()}

    def finite(self) -> Tensor:
        """Whether all weights of a member are, (members,)."""
        # A sum is not finite if one of its parts is not, and needs no array of answers.
        sums = [value.flatten(1).sum(1) for value in self.values.values()]
        return torch.stack(sums).isfinite().all(0)

    def part(self, positions: Sequence[int]) -> "Stack":
        """Some of the members, with what Adam remembers of them."""
        chosen = list(positions)
        part = Stack({name: value[chosen] for name, value in self.values.items()})
        memory = self._adam.state.get(self._flat)
        if memory:  # nothing before the first step
            part._adam.state[part._flat] = {"step": memory["step"].clone()} | {
                name: torch.cat(
                    [value[chosen].reshape(-1) for value in self._views(memory[name]).values()]
                )
                for name in _MOMENTS
            }
        return part

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, [shape.numel() for shape in self._shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
