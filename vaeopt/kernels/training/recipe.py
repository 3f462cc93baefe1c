"""Model and step, as the kernels that train whole epochs need to know them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["LIKELIHOODS", "Recipe"]

LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian")
"""kernels know them by their place"""


@dataclass(frozen=True)
class Recipe:
    """Model and step. Spatial if there is an invariance, vanilla else."""

    n_pixels: int
    width: int
    depth: int
    latent_dim: int
    likelihood: str
    gaussian_sd: float
    kl_weight: float
    """what the KL of a patch is multiplied with"""
    kl_sampled: bool
    batch_size: int
    bf16: bool = False
    """products in the spatial decoder"""
    rotation_sd: float = 0.0
    """geometry per unit of code [rad]; 0: not an invariance of this model"""
    translation_sd: float = 0.0
    """the same [half windows]"""
    scale_sd: float = 0.0
    """the same [relative]"""
    grid: Tensor = field(default_factory=lambda: torch.empty(0, 2))
    """coordinates of the pixels, float32 (n_pixels, 2); of a vanilla model not used"""

    @property
    def is_spatial(self) -> bool:
        """Whether pixels are decoded one by one."""
        return max(self.rotation_sd, self.translation_sd, self.scale_sd) > 0

    @property
    def n_latents(self) -> int:
        """Codes and content."""
        codes = (self.rotation_sd > 0) + 2 * (self.translation_sd > 0) + (self.scale_sd > 0)
        return codes + self.latent_dim
