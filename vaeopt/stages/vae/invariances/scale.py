"""Isotropic scale."""

from typing import ClassVar

import torch
from torch import Tensor

from vaeopt.stages.vae.invariances.base import Invariance

__all__ = ["Scale"]


class Scale(Invariance, kind="scale"):
    """Coordinates times 1 + amount: positive amounts make the content smaller."""

    n_codes: ClassVar[int] = 1
    code_rank: ClassVar[int] = 2
    apply_rank: ClassVar[int] = 1
    default_prior_sd: ClassVar[float] = 0.1
    unit: ClassVar[str] = "relative"

    @classmethod
    def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
        """(1 + amount) times the identity and no offset."""
        eye = torch.eye(2, dtype=amount.dtype, device=amount.device)
        return (1 + amount).unsqueeze(-1) * eye, amount.new_zeros(len(amount), 2)
