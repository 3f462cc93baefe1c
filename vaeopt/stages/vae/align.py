"""Patches without the pose that the encoder gave them: comparable with decoded pictures."""

import numpy as np
import torch

from vaeopt.core.types import Bools, Floats, Ints, Latents, Patches, TrainedVae
from vaeopt.kernels.grid import upright
from vaeopt.stages.vae.invariances import compose
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["align"]


def align(
    vae: TrainedVae, patches: Patches, latents: Latents, chosen: Ints | Bools | None = None
) -> Floats:
    """Turn, shift and resize patches back into the frame of ``decode(vae, z)``.

    Args:
        vae: a trained model; without invariances patches come back as they are.
        patches: of the window that it was trained on.
        latents: of the same patches, by the same model.
        chosen: which of them, as indices or as a mask; all if left out.

    Returns:
        float64 (n_chosen, window_px, window_px), interpolated bilinearly; NaN where a patch does
        not reach.
    """
    rows = slice(None) if chosen is None else chosen
    pixels = patches.pixels[rows]
    settings = VaeSettings(**vae.config)
    if not settings.invariances:
        return np.asarray(pixels, np.float64)
    codes = torch.tensor(latents.code_mean[rows], dtype=torch.float64)
    linear, offset = compose(settings.invariances, codes, settings.prior_sd.by_kind())
    return upright(pixels, linear.numpy(), offset.numpy())
