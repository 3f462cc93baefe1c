"""Patch -> posterior over pose and content."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Fully connected layers with tanh, then two linear heads: mean, and sd through softplus.

    Args:
        n_pixels: pixels of a patch.
        n_latents: pose codes first, then content latents.
        width: units per hidden layer.
        depth: hidden layers.
    """

    def __init__(self, n_pixels: int, n_latents: int, *, width: int, depth: int) -> None:
        super().__init__()
        sizes = [n_pixels] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.mean = nn.Linear(width, n_latents)
        self.std = nn.Linear(width, n_latents)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(n, n_pixels) -> mean and standard deviation, each (n, n_latents)."""
        h = patches
        for layer in self.hidden:
            h = layer(h).tanh()
        return self.mean(h), functional.softplus(self.std(h))
