"""The training loop: the one mutable place of the flow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Floats, Micrograph, Patches, TrainedVae
from vaeopt.stages.vae.device import resolve_device
from vaeopt.stages.vae.schedule import learning_rate
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers import choose_trainer

__all__ = ["train", "train_members"]

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

    Args:
        settings: model and recipe.
        patches: what to learn.
        seeds: weights, shuffling and noise derive from it and from nothing else.
        micrograph: recorded with the model (scaling, pixel size) so that it can be used on the
            next image.
        on_epoch: called after each epoch with (epoch, epochs, loss per patch [nats]).
    """
    (vae,) = train_members(
        settings, patches, seeds=[seeds], micrograph=micrograph, on_epoch=on_epoch
    )
    return vae


def train_members(
    settings: VaeSettings,
    patches: Patches,
    *,
    seeds: Sequence[Seeds],
    micrograph: Micrograph | None = None,
    on_epoch: EpochHook | None = None,
) -> tuple[TrainedVae, ...]:
    """Train several VAEs that differ by their seeds, together.

    Each ends as if it had been trained alone, up to the rounding of sums. Patches go to the device
    once; shuffling and noise of an epoch are drawn on the CPU, so that every device sees the same
    numbers; the host waits once per epoch, for the losses.

    Args:
        settings: model and recipe of all members.
        patches: what to learn.
        seeds: of each member; its weights, shuffling and noise derive from them and from nothing
            else.
        micrograph: recorded with the models.
        on_epoch: called after each epoch with (epoch, epochs, loss per patch [nats]), the mean over
            the members that are still training.
    """
    device = resolve_device(settings.device)
    data = _shared(patches.pixels.reshape(len(patches), -1)).to(device)
    trainer = choose_trainer(settings, data, patches.size_px, seeds)
    records = [_Record(trainer.weights(member)) for member in range(len(seeds))]
    active = list(range(len(seeds)))
    for epoch in range(settings.epochs):
        rate = learning_rate(settings.schedule, settings.learning_rate, epoch, settings.epochs)
        losses = dict(zip(active, trainer.epoch(active, rate), strict=True))
        for member, loss in losses.items():
            records[member].diverged = not np.isfinite(loss)
        active = [member for member in active if not records[member].diverged]
        for member in active:
            records[member].losses.append(losses[member])
            records[member].weights = trainer.weights(member)
        if active and on_epoch is not None:
            mean = float(np.mean([losses[member] for member in active]))
            on_epoch(epoch + 1, settings.epochs, mean)
        active = [member for member in active if not _plateau(records[member].losses, settings)]
        if not active:
            break
    return tuple(
        TrainedVae(
            config=settings.to_table(),
            window_px=patches.size_px,
            weights={name: value.cpu().numpy() for name, value in record.weights.items()},
            loss_nats=np.asarray(record.losses),
            diverged=record.diverged,
            pixel_scaling=micrograph.scaling if micrograph else None,
            pixel_size_nm=micrograph.pixel_size_nm if micrograph else None,
        )
        for record in records
    )


@dataclass
class _Record:
    """What the loop knows of a member."""

    weights: dict[str, Tensor]
    """of the last epoch that ended well"""
    losses: list[float] = field(default_factory=list)
    diverged: bool = False


def _shared(pixels: Floats) -> Tensor:
    """The same memory as a tensor, which nobody writes to."""
    # Torch warns of arrays that are read-only, because a tensor cannot be.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def _plateau(losses: Sequence[float], settings: VaeSettings) -> bool:
    """Whether the last epochs are no better on average than as many before."""
    patience = settings.patience_epochs
    if patience == 0 or len(losses) < 2 * patience:
        return False
    now, before = np.mean(losses[-patience:]), np.mean(losses[-2 * patience : -patience])
    # Relative to the range, not to the loss: a likelihood has no natural zero.
    return bool(before - now < settings.min_improvement * (max(losses) - min(losses)))
