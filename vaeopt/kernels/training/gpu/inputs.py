"""What a program trains, and the random numbers that it does so by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from vaeopt.kernels.training.recipe import Recipe

__all__ = ["Draw", "Member", "Prepared", "unequal"]


@dataclass(frozen=True)
class Member:
    """A model, what it starts from and what it learns from."""

    recipe: Recipe
    weights: Mapping[str, Tensor]
    """named as in the model's ``state_dict``"""
    patches: Tensor
    """float32 (n, n_pixels) in [0, 1] on the device; members with the same patches share it"""
    seen: int
    """pixels that a step looks at"""


@dataclass(frozen=True)
class Draw:
    """All random numbers of an epoch of a member, on the CPU."""

    order: Tensor
    """int64 (n,), which patch comes when"""
    noise: Tensor
    """float32 (n, n_latents), standard normal, in that order"""
    pixels: Tensor | None = None
    """int64 (steps, seen), which pixels every step looks at; all of them where there is none"""


@dataclass(frozen=True)
class Prepared:
    """Random numbers of an epoch of all members, padded where a member has fewer."""

    members: list[int]
    """those that train"""
    order: Tensor
    noise: Tensor
    pixels: Tensor | None

    def of(self, members: list[int]) -> "Prepared":
        """The same numbers for some of the members."""
        return replace(self, members=members)


def unequal(recipes: Sequence[Recipe]) -> list[str]:
    """What must be equal in all recipes of a program and is not."""
    names = ("width", "depth", "likelihood", "gaussian_sd", "kl_sampled", "batch_size", "bf16")
    found = [name for name in names if len({getattr(recipe, name) for recipe in recipes}) > 1]
    return found + ["is_spatial"] * (len({recipe.is_spatial for recipe in recipes}) > 1)
