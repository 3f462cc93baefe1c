"""Which pixels a training step looks at."""

import torch
from torch import Tensor

__all__ = ["draw_pixels"]


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
        Numbers of pixels, int64 (steps, k) with k = share * n_pixels, rounded, at least 1; or None
        for all.

    >>> draw_pixels(2, 169, 0.25, torch.Generator()).shape
    torch.Size([2, 42])
    >>> draw_pixels(2, 169, 1.0, torch.Generator()) is None
    True
    """
    if share == 1:
        return None
    k = max(1, round(share * n_pixels))
    order = torch.rand(steps, n_pixels, generator=generator).argsort(dim=1)
    return order[:, :k].contiguous()
