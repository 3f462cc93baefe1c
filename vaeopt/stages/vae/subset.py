"""Which pixels a training step looks at."""

import torch
from torch import Tensor

__all__ = ["draw_pixels", "subset_size"]


def draw_pixels(
    steps: int, n_pixels: int, share: float, generator: torch.Generator
) -> Tensor | None:
    """For every step of an epoch, the same number of different pixels for all patches.

    A sum over k of n pixels, all subsets being equally likely, has k / n times the sum over all as
    its mean: weighted with n / k it is an unbiased estimate, and so are its gradients.

    Args:
        steps: of the epoch.
        n_pixels: of a patch.
        share: of the pixels that a step looks at, in (0, 1].
        generator: on the CPU; asked only if the share is below 1.

    Returns:
        Numbers of pixels, int64 (steps, k) with k = :func:`subset_size`; or None for all.

    >>> draw_pixels(2, 169, 0.25, torch.Generator()).shape
    torch.Size([2, 42])
    >>> draw_pixels(2, 169, 1.0, torch.Generator()) is None
    True
    """
    if share == 1:
        return None
    order = torch.rand(steps, n_pixels, generator=generator).argsort(dim=1)
    return order[:, : subset_size(n_pixels, share)].contiguous()


def subset_size(n_pixels: int, share: float) -> int:
    """Pixels that a step looks at.

    >>> subset_size(169, 0.25), subset_size(9, 0.01)
    (42, 1)
    """
    return max(1, round(share * n_pixels))
