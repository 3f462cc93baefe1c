"""Whether the kernels compute here what torch computes; looked at before they train anything.

A kernel is compiled by what a machine has: its driver, its Triton, its kind of GPU. Nobody has
tried all of them. So the first training of every kind begins with a short one that is done twice.
"""

import logging
import math
from collections.abc import Hashable
from dataclasses import replace
from threading import Lock

import torch

from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Job, Trainer
from vaeopt.stages.vae.trainers.eager import EagerTrainer
from vaeopt.stages.vae.trainers.gpu import GpuTrainer

__all__ = ["is_trusted", "trusts"]

_BATCHES = 4
_EPOCHS = 2
_RATE = 1e-3  # not that of the settings: one that breaks a model says nothing about kernels
# Values between layers of a batch, at most: torch keeps all of them, a dozen times.
_VALUES = 2**25
# Under Triton's interpreter, with bf16 products: see ``tests/stages/vae/test_gpu_trainer.py``.
_LOSS = 1e-2  # difference, relative to the loss of a patch or to what is usual for its pixels
_USUAL = 0.1  # loss of a pixel [nats]: that of a patch may be 0, as sums of both signs are
_MOVE = 0.9  # cosine between the ways that all weights have gone

_log = logging.getLogger(__name__)
_known: dict[Hashable, bool] = {}
_looking = Lock()


def trusts(job: Job) -> bool:
    """Whether a short training in Triton's kernels goes the way of one by torch operations.

    It is done once per process for every kind of model and device; a failure is said in the log.
    Where it cannot be told, for want of memory or as torch finds no finite loss either, torch
    operations train this time, and the next job of the kind is looked at again.

    Args:
        job: one that :meth:`GpuTrainer.runs`.
    """
    key = _kind(job.settings, job.data.device)
    with _looking:
        if key not in _known:
            obstacle = _disagreement(job)
            if obstacle is None:
                _log.info("Triton's kernels could not be compared with torch operations")
                return False
            if obstacle:
                _log.warning("Triton's kernels are not used, torch operations are: %s", obstacle)
            _known[key] = not obstacle
        return _known[key]


def is_trusted(settings: VaeSettings, device: torch.device) -> bool:
    """Whether such a training has shown it in this process; False if nobody has looked."""
    return _known.get(_kind(settings, device), False)


def _kind(settings: VaeSettings, device: torch.device) -> Hashable:
    """Trainings of a kind run the same kernels."""
    names = {"width", "depth", "likelihood", "kl_estimator", "precision"}
    shared = settings.model_dump_json(include=names)
    return shared, bool(settings.invariances), settings.pixels < 1, str(device)


def _disagreement(job: Job) -> str | None:
    """In a few words; empty if there is none, nothing where it cannot be told."""
    values = job.size_px**2 * job.settings.width
    batch = min(job.settings.batch_size, max(16, _VALUES // values))
    settings = job.settings.model_copy(update={"batch_size": batch})
    few = replace(job, settings=settings, data=job.data[: _BATCHES * batch], seeds=job.seeds[:1])
    plain = {"engine": "fast", "precision": "float32"}
    readable = replace(few, settings=few.settings.model_copy(update=plain))
    try:
        losses, move = _trained(GpuTrainer(few))
        expected, expected_move = _trained(EagerTrainer(readable))
    except torch.OutOfMemoryError:
        return None
    except Exception as error:  # whatever a compiler or a driver may raise
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    if not all(map(math.isfinite, expected)):
        return None
    usual = max(1, _USUAL * job.size_px**2)
    for loss, wanted in zip(losses, expected, strict=True):
        if not abs(loss - wanted) <= _LOSS * max(usual, abs(wanted)):
            return f"a loss of {loss:.6g} where torch finds {wanted:.6g}"
    cosine = float(torch.nn.functional.cosine_similarity(move, expected_move, dim=0))
    return "" if cosine >= _MOVE else f"weights go another way than by torch (cosine {cosine:.3f})"


def _trained(trainer: Trainer) -> tuple[list[float], torch.Tensor]:
    """Losses of a few epochs, and how far all weights have gone."""

    def weights() -> torch.Tensor:
        found = trainer.weights(0)
        return torch.cat([found[name].reshape(-1).cpu() for name in sorted(found)])

    before = weights()
    losses = [trainer.epoch([0], _RATE)[0] for _ in range(_EPOCHS)]
    return losses, weights() - before
