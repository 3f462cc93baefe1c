"""Weights of several models side by side, their slopes, and the Adam that moves them."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Layer", "Scratch", "Stack"]

# Numbers per block of threads on a GPU. Torch gives a block up to 65,536 numbers of an array: a
# small stack would keep a single multiprocessor busy.
_SHARE = 2**14


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

    Nothing here waits for the device, and every array stays where it is.

    Args:
        values: (members, ...) of every weight by its name in a single model, on the device.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._shapes = {name: value.shape for name, value in values.items()}
        like = next(iter(values.values()))
        rooms = [_room(shape.numel()) for shape in self._shapes.values()]
        self._starts = [0, *accumulate(rooms)]
        # Weights, slopes, running mean of slopes and of their squares, weights that were good.
        self._arrays = [like.new_zeros(self._starts[-1]) for _ in range(5)]
        views = [self._views(array) for array in self._arrays]
        self.values, self.slopes, *_, self._good = views
        for name, value in values.items():
            self.values[name].copy_(value)
        self.remember(like.new_ones(len(like), dtype=torch.bool))
        self._steps = like.new_zeros(())
        share = self._starts[-1] if like.device.type == "cpu" else _SHARE
        self._adam = [list(torch.split(array, share)) for array in self._arrays[:4]]

    def layer(self, name: str) -> Layer:
        """The linear layer of this name."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        return Layer(self.values[weight], self.values[bias], self.slopes[weight], self.slopes[bias])

    def step(self, learning_rate: Tensor) -> None:
        """Move all weights by their slopes: :class:`torch.optim.Adam` with its defaults.

        Args:
            learning_rate: (), on the device.
        """
        self._steps.add_(1)
        weights, slopes, means, squares = self._adam
        torch._fused_adam_(
            weights,
            slopes,
            means,
            squares,
            [],
            [self._steps] * len(weights),
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def finite(self) -> Tensor:
        """Whether all weights of a member are, (members,)."""
        # A sum is not finite if one of its parts is not, and needs no array of answers.
        sums = [value.flatten(1).sum(1) for value in self.values.values()]
        return torch.stack(sums).isfinite().all(0)

    def remember(self, good: Tensor) -> None:
        """Keep the weights that some members have now, (members,), in place of what was kept."""
        for name, value in self.values.items():
            which, kept = good.view(-1, *[1] * (value.dim() - 1)), self._good[name]
            torch.where(which, value, kept, out=kept)

    def member(self, position: int) -> dict[str, Tensor]:
        """A copy of what was last kept of one member."""
        return {name: value[position].clone() for name, value in self._good.items()}

    def part(self, positions: Sequence[int]) -> "Stack":
        """Some of the members, with what Adam remembers of them and what was kept."""
        chosen = list(positions)
        part = Stack({name: value[chosen] for name, value in self.values.items()})
        for mine, theirs in zip(self._arrays, part._arrays, strict=True):
            views = part._views(theirs)
            for name, value in self._views(mine).items():
                views[name].copy_(value[chosen])
        part._steps.copy_(self._steps)
        return part

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        return {
            name: flat[start : start + shape.numel()].view(shape)
            for (name, shape), start in zip(self._shapes.items(), self._starts, strict=False)
        }


def _room(numbers: int) -> int:
    """Numbers that an array takes up so that the next one begins at a multiple of 16 bytes."""
    return -(-numbers // 4) * 4
