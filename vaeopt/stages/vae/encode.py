"""Use of a trained VAE: patches to latents and back, pose included. Never trains."""

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.types import Floats, Latents, Patches, Reconstruction, TrainedVae
from vaeopt.kernels.elbo import fast, reference
from vaeopt.kernels.grid import affine_pose
from vaeopt.stages.vae.invariances import compose
from vaeopt.stages.vae.model import InvariantVae, restore
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["content_means", "decode", "encode"]

_BLOCK_PIXELS = 200_000  # pixels decoded at once: about 100 MB of activations at width 128


def encode(vae: TrainedVae, patches: Patches, *, core_px: int | None = None) -> Latents:
    """Posterior, pose and reconstruction of every patch.

    Args:
        vae: a trained model.
        patches: windows of the size that it was trained on.
        core_px: edge of the central part on which ``fvu_core`` looks (semantics 7.2); the whole
            window if left out.

    Raises:
        ValueError: the windows have another size.
    """
    if patches.size_px != vae.window_px:
        raise ValueError(f"expected windows of {vae.window_px} px, got {patches.size_px} px")
    model = restore(vae)
    settings = model.settings
    x = torch.tensor(patches.pixels.reshape(len(patches), -1))
    with torch.no_grad():
        parts = [model.encoder(block) for block in _blocks(x, patches.size_px)]
    mean, std = (torch.cat(part) for part in zip(*parts, strict=True))
    logits = _logits(model, mean)
    # From logits in float64: a mean that rounds to 0 or 1 would make the likelihood infinite.
    pixel_nll = fast.nll(
        x.double(), logits.double(), settings.likelihood, gaussian_sd=settings.gaussian_sd
    ).numpy()
    n = settings.n_codes
    latents, sds = mean.double().numpy(), std.double().numpy()
    return Latents(
        z_mean=latents[:, n:],
        z_std=sds[:, n:],
        codes=_pose(settings, mean[:, :n].double(), patches.size_px),
        code_mean=latents[:, :n],
        code_std=sds[:, :n],
        error_nats=pixel_nll.sum(axis=1),
        reconstruction=_reconstruction(
            patches, logits.sigmoid().numpy(), pixel_nll, settings, core_px or patches.size_px
        ),
    )


def content_means(vae: TrainedVae, patches: Patches) -> Floats:
    """Posterior means of the content latents alone; nothing is decoded.

    Args:
        vae: a trained model.
        patches: windows of the size that it was trained on.

    Returns:
        float64 (n_patches, latent_dim), the ``z_mean`` of :func:`encode`.

    Raises:
        ValueError: the windows have another size.
    """
    if patches.size_px != vae.window_px:
        raise ValueError(f"expected windows of {vae.window_px} px, got {patches.size_px} px")
    model = restore(vae)
    x = torch.tensor(patches.pixels.reshape(len(patches), patches.size_px**2))
    with torch.no_grad():
        mean = torch.cat([model.encoder(block)[0] for block in _blocks(x, patches.size_px)])
    return np.asarray(mean[:, model.settings.n_codes :].double().numpy())


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


def _blocks(rows: Tensor, size_px: int) -> tuple[Tensor, ...]:
    return torch.split(rows, max(1, _BLOCK_PIXELS // size_px**2))


def _logits(model: InvariantVae, latents: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.decoder(block) for block in _blocks(latents, model.size_px)])


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


def _reconstruction(
    patches: Patches, decoded: Floats, pixel_nll: Floats, settings: VaeSettings, core_px: int
) -> Reconstruction:
    x = patches.pixels.astype(np.float64)
    error = (x - decoded.reshape(x.shape)) ** 2
    spread = (x - x.mean(axis=0)) ** 2
    # The core of a window lies round the pixel of the key point, as a smaller window would.
    first = patches.size_px // 2 - core_px // 2
    core = (slice(None), slice(first, first + core_px), slice(first, first + core_px))
    floor = reference.entropy_floor(x, settings.likelihood, gaussian_sd=settings.gaussian_sd)
    return Reconstruction(
        nll_nats=float(pixel_nll.mean()),
        floor_nats=float(floor.mean()),
        mse=float(error.mean()),
        fvu=_ratio(error, spread),
        fvu_core=_ratio(error[core], spread[core]),
        core_px=core_px,
    )


def _ratio(error: Floats, spread: Floats) -> float:
    """Unexplained share; 1 where there is nothing to explain (a single or identical patches)."""
    total = float(spread.sum())
    return float(error.sum()) / total if total > 0 else 1.0
