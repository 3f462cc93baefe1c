"""Use of a trained VAE: patches to latents and back, pose included. Never trains."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.types import Floats, Latents, Patches, TrainedVae
from vaeopt.kernels.grid import affine_pose
from vaeopt.stages.vae.device import encoding_device
from vaeopt.stages.vae.errors import error_sums
from vaeopt.stages.vae.invariances import compose
from vaeopt.stages.vae.model import InvariantVae, restore
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["Posterior", "content_means", "decode", "encode", "posterior"]

_BLOCK_PIXELS = 200_000  # of patches that are looked at together: a few MB in float64
# That a spatial decoder is asked for together, 1.3 MB per layer at width 128: with eighty times as
# many, twice as slow, because layers leave the cache and their memory is fresh every time.
_DECODED_PIXELS = 2_500
# Numbers of one layer that a GPU works on together: 256 MB, of which it holds a few at a time.
_DEVICE_NUMBERS = 2**26


def encode(vae: TrainedVae, patches: Patches, *, core_px: int | None = None) -> Latents:
    """Posterior, pose and reconstruction of every patch, on the device of the model's settings.

    Args:
        vae: a trained model.
        patches: windows of the size that it was trained on.
        core_px: edge of the central part on which ``fvu_core`` looks (semantics 7.2); the whole
            window if left out.

    Raises:
        ValueError: the windows have another size.
    """
    model = _restored(vae, patches)
    settings, device = model.settings, _device(model)
    sums = error_sums(patches.pixels, settings, core_px or patches.size_px, device)
    # Filled rather than gathered: what a block leaves behind would sit between the large arrays
    # of the next ones, and the memory of those could not be used again.
    n_latents = settings.n_codes + settings.latent_dim
    mean, std = torch.empty(2, len(patches), n_latents, device=device)
    error_nats = torch.empty(len(patches), dtype=torch.float64, device=device)
    for rows, x in _blocks_of(patches, model):
        with torch.no_grad():
            mean[rows], std[rows] = model.encoder(x)
        error_nats[rows] = sums.add(x, _logits(model, mean[rows]))
    n, mean, std = settings.n_codes, mean.cpu(), std.cpu()
    latents, sds = mean.double().numpy(), std.double().numpy()
    return Latents(
        z_mean=latents[:, n:],
        z_std=sds[:, n:],
        codes=_pose(settings, mean[:, :n].double(), patches.size_px),
        code_mean=latents[:, :n],
        code_std=sds[:, :n],
        error_nats=error_nats.cpu().numpy(),
        reconstruction=sums.reconstruction(),
    )


class Posterior(NamedTuple):
    """What the encoder alone says of every patch; float64 (n_patches, ...)."""

    z_mean: Floats
    z_std: Floats
    code_mean: Floats
    code_std: Floats


def posterior(vae: TrainedVae, patches: Patches) -> Posterior:
    """Posterior of every patch, as in :func:`encode`; nothing is decoded.

    Args:
        vae: a trained model.
        patches: windows of the size that it was trained on.

    Raises:
        ValueError: the windows have another size.
    """
    model = _restored(vae, patches)
    n = model.settings.n_codes
    found = torch.empty(2, len(patches), n + model.settings.latent_dim, device=_device(model))
    for rows, x in _blocks_of(patches, model):
        with torch.no_grad():
            found[0, rows], found[1, rows] = model.encoder(x)
    mean, std = found.cpu().double().numpy()
    return Posterior(mean[:, n:], std[:, n:], mean[:, :n], std[:, :n])


def content_means(vae: TrainedVae, patches: Patches) -> Floats:
    """The ``z_mean`` of :func:`posterior`, float64 (n_patches, latent_dim)."""
    return posterior(vae, patches).z_mean


def decode(vae: TrainedVae, latents: Latents | Floats) -> Floats:
    """Pictures from latents.

    Args:
        vae: a trained model.
        latents: from :func:`encode`, drawn in their own orientation and place; or content
            latents alone (n, latent_dim), drawn upright and centred.

    Returns:
        float32 (n, window_px, window_px), decoder means in [0, 1].
    """
    model = restore(vae)
    if isinstance(latents, Latents):
        z = np.concatenate([latents.code_mean, latents.z_mean], axis=1)
    else:
        content = np.atleast_2d(latents)
        z = np.concatenate([np.zeros((len(content), model.settings.n_codes)), content], axis=1)
    pictures = _logits(model, torch.tensor(z, dtype=torch.float32)).sigmoid().numpy()
    return np.asarray(pictures).reshape(-1, vae.window_px, vae.window_px)


def _restored(vae: TrainedVae, patches: Patches) -> InvariantVae:
    if patches.size_px != vae.window_px:
        raise ValueError(f"expected windows of {vae.window_px} px, got {patches.size_px} px")
    model = restore(vae)
    return model.to(encoding_device(model.settings.device, len(patches) * _per_patch(model)))


def _device(model: InvariantVae) -> torch.device:
    return model.encoder.mean.weight.device


def _per_patch(model: InvariantVae) -> int:
    """Numbers of the largest layer."""
    pixels, width = model.size_px**2, model.settings.width
    return pixels * width if model.settings.invariances else max(pixels, width)


def _blocks_of(patches: Patches, model: InvariantVae) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of the patches, where they are and (rows, n_pixels); one is copied at a time."""
    step, device = _BLOCK_PIXELS // patches.size_px**2, _device(model)
    if device.type == "cuda":
        step = _DEVICE_NUMBERS // _per_patch(model)
    for start in range(0, len(patches), max(1, step)):
        rows = slice(start, start + max(1, step))
        yield rows, torch.tensor(patches.pixels[rows]).flatten(1).to(device)


def _logits(model: InvariantVae, latents: Tensor) -> Tensor:
    most = _DECODED_PIXELS if model.settings.invariances else _BLOCK_PIXELS
    if latents.is_cuda:  # these are as many as a GPU wants
        most = latents.shape[0] * model.size_px**2
    blocks = torch.split(latents, max(1, most // model.size_px**2))
    with torch.no_grad():
        return torch.cat([model.decoder(block) for block in blocks])


def _pose(settings: VaeSettings, codes: Tensor, size_px: int) -> dict[str, Floats]:
    """Pose of the patches by name; only what the invariances of the model can express."""
    if not settings.invariances:
        return {}
    linear, offset = compose(settings.invariances, codes, settings.prior_sd.by_kind())
    pose = affine_pose(linear.numpy(), offset.numpy(), size_px=size_px)
    named = {
        "angle_rad": "rotation",
        "shift_row_px": "translation",
        "shift_col_px": "translation",
        "magnification": "scale",
    }
    builtin = set(named.values())
    # An invariance of the user's own may express all of them.
    free = bool(set(settings.invariances) - builtin)
    return {k: v for k, v in pose.items() if free or named[k] in settings.invariances}
