"""An invariance is an affine map of pixel coordinates, driven by codes of its own."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vaeopt.core.settings import Plugin

__all__ = ["Invariance", "compose", "known", "ordered"]


class Invariance(Plugin, family="invariance"):
    """Maps codes to an affine change of coordinates.

    A code is a latent with prior N(0, 1); the geometry it stands for is ``prior_sd`` times it, so
    the KL term never depends on the unit of the geometry.
    """

    n_codes: ClassVar[int]
    """latents that this invariance takes"""
    code_rank: ClassVar[int]
    """place among the codes of a patch (pyroVED: rotation, translation, scale)"""
    apply_rank: ClassVar[int]
    """place among the transforms (pyroVED: rotation, scale, translation)"""
    default_prior_sd: ClassVar[float]
    """standard deviation of the geometry under the prior"""
    unit: ClassVar[str]
    """of ``prior_sd``"""

    @classmethod
    @abstractmethod
    def affine(cls, amount: Tensor) -> tuple[Tensor, Tensor]:
        """Linear part (n, 2, 2) and offset (n, 2) for geometry ``amount`` (n, n_codes)."""


def known() -> dict[str, type[Invariance]]:
    """All invariances by name, in the order of their codes."""
    members = (Invariance.of_kind(kind) for kind in Invariance.kinds())
    return {m.kind: m for m in sorted(members, key=lambda m: m.code_rank)}


def ordered(kinds: Sequence[str]) -> tuple[str, ...]:
    """The same names in the one order in which their codes stand."""
    return tuple(name for name in known() if name in kinds)


def compose(
    kinds: Sequence[str], codes: Tensor, prior_sd: Mapping[str, float]
) -> tuple[Tensor, Tensor]:
    """One affine map from the codes of all invariances.

    Args:
        kinds: names in code order (see :func:`ordered`).
        codes: (n, sum of n_codes), prior N(0, 1).
        prior_sd: geometry per unit of code, by name.

    Returns:
        Linear part (n, 2, 2) and offset (n, 2): coordinates g become ``L g + t``.
    """
    members = known()
    starts: dict[str, int] = {}
    column = 0
    for kind in kinds:
        starts[kind] = column
        column += members[kind].n_codes
    steps = []
    for kind in sorted(kinds, key=lambda k: members[k].apply_rank):
        member = members[kind]
        amount = codes[:, starts[kind] : starts[kind] + member.n_codes] * prior_sd[kind]
        steps.append(member.affine(amount))
    if not steps:
        n = len(codes)
        return torch.eye(2).to(codes).expand(n, 2, 2), codes.new_zeros(n, 2)
    # No identity to begin with: its products would be a good part of a small step.
    (linear, offset), *others = steps
    for step_linear, step_offset in others:
        linear = step_linear @ linear
        offset = (step_linear @ offset.unsqueeze(-1)).squeeze(-1) + step_offset
    return linear, offset
