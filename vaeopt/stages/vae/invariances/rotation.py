"""Rotation in the plane of the image."""

from typing import ClassVar

import torch
from torch import Tensor

from vaeopt.stages.vae.invariances.base import Invariance

__all__ = ["Rotation"]


class Rotation(Invariance, kind="rotation"):
    """One angle, used as it is (radians, not wrapped); patch i depends on code i only."""

    n_codes: ClassVar[int] = 1
    code_rank: ClassVar[int] = 0
    apply_rank: ClassVar[int] = 0
    default_prior_sd: ClassVar[float] = 1.0
    unit: ClassVar[str] = "rad"

    @classmethod
    def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
        """[[cos, -sin], [sin, cos]] and no offset."""
        cos, sin = torch.cos(amount[:, 0]), torch.sin(amount[:, 0])
        linear = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        return linear, amount.new_zeros(len(amount), 2)
