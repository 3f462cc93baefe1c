"""Where a weight of a member stands among the parameters that the kernels see.

Parameters of a member are one row of numbers. All members have their weights at the same places,
with room for the widest of them: for every pose code, whether it has it or not, for the most
content latents and the largest window. What a member does not have is zero and stays so.

A row begins with what gets its slopes pixel by pixel (hidden and last layer of a spatial decoder)
and ends with the only matrix whose shape depends on the window, the first one of the encoder.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeopt.kernels.training.recipe import Recipe

__all__ = ["CODES", "Layout", "slots"]

CODES = 4
"""slots of the codes of rotation (1), translation (2) and scale (1); content follows"""

_Index = tuple[slice | list[int], ...]


def slots(recipe: Recipe) -> list[int]:
    """Where the latents of a member stand, in the member's own order."""
    codes = [
        slot
        for sd, places in (
            (recipe.rotation_sd, [0]),
            (recipe.translation_sd, [1, 2]),
            (recipe.scale_sd, [3]),
        )
        if sd > 0
        for slot in places
    ]
    return [*codes, *range(CODES, CODES + recipe.latent_dim)]


@dataclass(frozen=True)
class Layout:
    """Places in a row of parameters; all members are spatial, or all are vanilla."""

    width: int
    depth: int
    content: int
    """most content latents of any member"""
    spatial: bool
    n_pixels: int
    """of the largest window"""

    @classmethod
    def of(cls, recipes: Sequence[Recipe]) -> "Layout":
        """Room for all of these."""
        first = recipes[0]
        return cls(
            width=first.width,
            depth=first.depth,
            content=max(recipe.latent_dim for recipe in recipes),
            spatial=first.is_spatial,
            n_pixels=max(recipe.n_pixels for recipe in recipes),
        )

    @property
    def latents(self) -> int:
        """Slots of latents."""
        return CODES + self.content

    @property
    def by_pixel(self) -> int:
        """Parameters at the beginning that get their slopes pixel by pixel."""
        layers = self.depth * self.width * (self.width + 1) + self.width + 1
        return layers if self.spatial else 0

    @property
    def pixel_slopes(self) -> int:
        """Length of a row of their slopes."""
        return _aligned(self.by_pixel)

    @property
    def at_first(self) -> int:
        """First layer of the spatial decoder: coordinates (width, 2), bias, content."""
        return self.pixel_slopes

    @property
    def _at_encoder(self) -> int:
        if self.spatial:
            return _aligned(self.at_first + self.width * (3 + self.content))
        square = self.width * (self.width + 1)
        return _aligned(self.width * (self.content + 1) + (self.depth - 1) * square)

    @property
    def at_heads(self) -> int:
        """Mean and sd of the posterior: (latents, width) and bias each."""
        return self._at_encoder

    @property
    def at_hidden(self) -> int:
        """Encoder: first bias; second weight and bias."""
        return _aligned(self.at_heads + 2 * self.latents * (self.width + 1))

    @property
    def at_out(self) -> int:
        """Last layer of the vanilla decoder: (pixels, width) and bias."""
        square = self.width * (self.width + 1)
        return _aligned(self.at_hidden + self.width + (self.depth - 1) * square)

    @property
    def at_input(self) -> int:
        """First matrix of the encoder, (width, pixels)."""
        out = 0 if self.spatial else self.n_pixels * (self.width + 1)
        return _aligned(self.at_out + out)

    @property
    def stride(self) -> int:
        """Length of a row."""
        return _aligned(self.size(self.n_pixels))

    def size(self, n_pixels: int) -> int:
        """Parameters up to the last one of a member with this window."""
        return self.at_input + self.width * n_pixels

    def pack(self, recipe: Recipe, weights: Mapping[str, Tensor], row: Tensor) -> None:
        """Write the weights of a member, named as in its ``state_dict``, into its row."""
        row.zero_()
        for name, start, shape, index in self._entries(recipe):
            whole = _part(row, start, shape)
            whole[index] = weights[name].to(row).reshape(whole[index].shape)

    def unpack(self, recipe: Recipe, row: Tensor) -> dict[str, Tensor]:
        """A copy of the weights of a member, named as in its ``state_dict``."""
        found = {}
        for name, start, shape, index in self._entries(recipe):
            value = _part(row, start, shape)[index].clone()
            # The one unit of the last layer of a spatial decoder is a row of a matrix there.
            last = self.spatial and name == "decoder.out.weight"
            found[name] = value.unsqueeze(0) if last else value
        return found

    def _entries(self, recipe: Recipe) -> Iterator[tuple[str, int, tuple[int, ...], _Index]]:
        """Name, place, shape with all that belongs to other members, and the member's own part."""
        width, depth, n_pixels = self.width, self.depth, recipe.n_pixels
        every: _Index = (slice(None),)
        own = slots(recipe)
        square = width * (width + 1)

        yield "encoder.hidden.0.weight", self.at_input, (width, n_pixels), every
        yield "encoder.hidden.0.bias", self.at_hidden, (width,), every
        if depth == 2:
            second = self.at_hidden + width
            yield "encoder.hidden.1.weight", second, (width, width), every
            yield "encoder.hidden.1.bias", second + width * width, (width,), every
        for i, head in enumerate(("mean", "std")):
            start = self.at_heads + i * self.latents * (width + 1)
            yield f"encoder.{head}.weight", start, (self.latents, width), (own,)
            yield f"encoder.{head}.bias", start + self.latents * width, (self.latents,), (own,)

        content: _Index = (slice(None), slice(recipe.latent_dim))
        if self.spatial:
            biases = depth * width * width
            first = self.at_first
            yield "decoder.coordinates.weight", first, (width, 2), every
            yield "decoder.coordinates.bias", first + 2 * width, (width,), every
            yield "decoder.content.weight", first + 3 * width, (width, self.content), content
            for i in range(depth):
                yield f"decoder.hidden.{i}.weight", i * width * width, (width, width), every
                yield f"decoder.hidden.{i}.bias", biases + i * width, (width,), every
            yield "decoder.out.weight", biases + depth * width, (width,), every
            yield "decoder.out.bias", biases + (depth + 1) * width, (1,), every
            return
        yield "decoder.hidden.0.weight", 0, (width, self.content), content
        yield "decoder.hidden.0.bias", width * self.content, (width,), every
        if depth == 2:
            second = width * (self.content + 1)
            yield "decoder.hidden.1.weight", second, (width, width), every
            yield "decoder.hidden.1.bias", second + square - width, (width,), every
        yield "decoder.out.weight", self.at_out, (n_pixels, width), every
        yield "decoder.out.bias", self.at_out + n_pixels * width, (n_pixels,), every


def _aligned(place: int) -> int:
    """The next place that 16 divides: kernels are compiled once for all such numbers."""
    return -(-place // 16) * 16


def _part(row: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    return row[start : start + torch.Size(shape).numel()].view(shape)
