"""The training loop: the one mutable place of the flow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Floats, Micrograph, Patches, TrainedVae
from vaeopt.kernels.decoder import runs_native
from vaeopt.stages.vae.device import resolve_device
from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["train"]

EpochHook = Callable[[int, int, float], None]


def train(
    settings: VaeSettings,
    patches: Patches,
    *,
    seeds: Seeds,
    micrograph: Micrograph | None = None,
    on_epoch: EpochHook | None = None,
) -> TrainedVae:
    """Train one VAE on all patches with Adam.

    Patches go to the device once; shuffling and noise of an epoch are drawn on the CPU, so that
    every device sees the same numbers; the host waits once per epoch, for the loss.

    Args:
        settings: model and recipe.
        patches: what to learn.
        seeds: weights, shuffling and noise derive from it and from nothing else.
        micrograph: recorded with the model (scaling, pixel size) so that it can be used on the
            next image.
        on_epoch: called after each epoch with (epoch, epochs, loss per patch [nats]).
    """
    device = resolve_device(settings.device)
    model = build(settings, patches.size_px, seed=seeds.integer("vae-weights")).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    data = _shared(patches.pixels.reshape(len(patches), -1)).to(device)
    generator = torch.Generator().manual_seed(seeds.integer("vae-noise"))
    losses: list[float] = []
    diverged = False
    good = _snapshot(model)
    for epoch in range(settings.epochs):
        with _threads_for(settings, device) as threads:
            loss = _epoch(model, optimizer, data, generator, threads)
        diverged = not np.isfinite(loss)
        if diverged:
            break
        losses.append(loss)
        good = _snapshot(model)
        if on_epoch is not None:
            on_epoch(epoch + 1, settings.epochs, loss)
        if _plateau(losses, settings.patience_epochs, settings.min_improvement):
            break
    return TrainedVae(
        config=settings.to_table(),
        window_px=patches.size_px,
        weights={name: value.cpu().numpy().copy() for name, value in good.items()},
        loss_nats=np.asarray(losses),
        diverged=diverged,
        pixel_scaling=micrograph.scaling if micrograph else None,
        pixel_size_nm=micrograph.pixel_size_nm if micrograph else None,
    )


@contextmanager
def _threads_for(settings: VaeSettings, device: torch.device) -> Iterator[int]:
    """One thread for torch where its products are too small to share; yields those of the kernel.

    That is the case of a vanilla decoder, and of all that is left to torch where the compiled
    kernel runs. Measured on two cores while another process kept one of them busy: a vanilla step
    takes 52 ms on two threads and 2.4 ms on one (13 px, batch 64); a step with rotation and
    translation, 190 ms on two and 4.8 ms on one with two for the kernel (8 px, batch 128).
    """
    before = torch.get_num_threads()
    if not settings.invariances or runs_native(settings.engine, settings.precision, device):
        torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def _shared(pixels: Floats) -> torch.Tensor:
    """The same memory as a tensor, which nobody writes to."""
    # Torch warns of arrays that are read-only, because a tensor cannot be.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _snapshot(model: InvariantVae) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _epoch(
    model: InvariantVae,
    optimizer: torch.optim.Optimizer,
    data: torch.Tensor,
    generator: torch.Generator,
    threads: int,
) -> float:
    """One pass over shuffled patches; returns the mean loss per patch [nats]."""
    settings, n = model.settings, len(data)
    order = torch.randperm(n, generator=generator).to(data.device)
    noise = torch.randn(n, settings.n_codes + settings.latent_dim, generator=generator)
    noise = noise.to(data.device)
    total = torch.zeros((), device=data.device)
    size = settings.batch_size
    batches = torch.split(order, size), torch.split(noise, size)
    for rows, draws in zip(*batches, strict=True):
        patches = data[rows]  # of all rows at once there would be a second copy of the data
        loss = model.loss_sum(patches, draws, threads=threads)
        optimizer.zero_grad(set_to_none=True)
        (loss / len(patches)).backward()  # type: ignore[no-untyped-call]  # torch's stub
        optimizer.step()
        total += loss.detach()
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        return float("nan")  # the last step broke the weights after its loss had been counted
    return float(total) / n


def _plateau(losses: list[float], patience: int, min_improvement: float) -> bool:
    """Whether the last ``patience`` epochs are no better on average than as many before."""
    if patience == 0 or len(losses) < 2 * patience:
        return False
    now, before = np.mean(losses[-patience:]), np.mean(losses[-2 * patience : -patience])
    # Relative to the range, not to the loss: a likelihood has no natural zero.
    return bool(before - now < min_improvement * (max(losses) - min(losses)))
