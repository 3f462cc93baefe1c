"""Latents -> logits of the pixels."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from vaeopt.kernels.decoder import EngineName, Precision, spatial_nll
from vaeopt.kernels.grid import pixel_grid, transform
from vaeopt.stages.vae.invariances import compose

__all__ = ["SpatialDecoder", "VanillaDecoder"]


class VanillaDecoder(nn.Module):
    """Fully connected layers with tanh, then one linear layer to all pixels."""

    def __init__(self, n_pixels: int, latent_dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        sizes = [latent_dim] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, n_pixels)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, latent_dim) -> logits (n, n_pixels)."""
        h = latents
        for layer in self.hidden:
            h = layer(h).tanh()
        logits: Tensor = self.out(h)
        return logits


class SpatialDecoder(nn.Module):
    """The same small network for every pixel, asked at transformed coordinates.

    The first layer is tanh(W_c g' + b + W_z z); ``depth`` more layers with tanh follow, then a
    linear layer to one logit (pyroVED's ``sDecoderNet``).
    """

    grid: Tensor

    def __init__(
        self,
        size_px: int,
        latent_dim: int,
        *,
        invariances: tuple[str, ...],
        n_codes: int,
        prior_sd: Mapping[str, float],
        width: int,
        depth: int,
    ) -> None:
        super().__init__()
        self.invariances = invariances
        self.n_codes = n_codes
        self.prior_sd = dict(prior_sd)
        self.coordinates = nn.Linear(2, width)
        self.content = nn.Linear(latent_dim, width, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, 1)
        # Not in state_dict: it follows from size_px, which is part of a saved configuration.
        self.register_buffer("grid", pixel_grid(size_px), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, n_codes + latent_dim), codes first -> logits (n, n_pixels)."""
        linear, offset, content = self._parts(latents)
        seen = transform(self.grid, linear, offset)
        # Content is added per patch and broadcast over pixels rather than repeated in memory.
        h = torch.tanh(self.coordinates(seen) + content.unsqueeze(1))
        for layer in self.hidden:
            h = layer(h).tanh()
        logits: Tensor = self.out(h).squeeze(-1)
        return logits

    def nll_sum(
        self,
        latents: Tensor,
        patches: Tensor,
        *,
        pixels: Tensor | None = None,
        likelihood: str,
        gaussian_sd: float,
        engine: EngineName,
        precision: Precision,
        threads: int | None,
    ) -> Tensor:
        """NLL of a whole batch [nats], () with gradients; no activation of a pixel is stored.

        ``patches`` has all pixels, or only those that ``pixels`` numbers, in that order.

        The map of the coordinates and the first layer are one: W_c (L g + t) + b + W_z z is
        (W_c L) g + (W_c t + b + W_z z).
        """
        linear, offset, content = self._parts(latents)
        weight = self.coordinates.weight
        return spatial_nll(
            weight @ linear,
            self.coordinates(offset) + content,
            [_weights(layer) for layer in self.hidden],
            _weights(self.out),
            self.grid if pixels is None else self.grid[pixels],
            patches,
            likelihood=likelihood,
            gaussian_sd=gaussian_sd,
            engine=engine,
            precision=precision,
            threads=threads,
        ).total

    def _parts(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Affine map (n, 2, 2) and (n, 2), and what the content adds to the first layer."""
        codes, content = latents[:, : self.n_codes], latents[:, self.n_codes :]
        linear, offset = compose(self.invariances, codes, self.prior_sd)
        return linear, offset, self.content(content)


def _weights(layer: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, nn.Linear)
    return layer.weight, layer.bias
