"""Translation in the plane of the image."""

from typing import ClassVar

import torch
from torch import Tensor

from vaeopt.stages.vae.invariances.base import Invariance

__all__ = ["Translation"]


class Translation(Invariance, kind="translation"):
    """Two shifts of the coordinates, in half windows, after rotation and scale."""

    n_codes: ClassVar[int] = 2
    code_rank: ClassVar[int] = 1
    apply_rank: ClassVar[int] = 2
    default_prior_sd: ClassVar[float] = 0.1
    unit: ClassVar[str] = "half windows"

    @classmethod
    def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
        """No linear part; the offset is the amount."""
        eye = torch.eye(2, dtype=amount.dtype, device=amount.device)
        return eye.expand(len(amount), 2, 2), amount
