"""Which trainer does the epochs."""

from collections.abc import Hashable, Sequence

import torch

from vaeopt.kernels.decoder import runs_native
from vaeopt.kernels.decoder.native import bf16_pays
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.base import Job, Trainer
from vaeopt.stages.vae.trainers.eager import EagerTrainer
from vaeopt.stages.vae.trainers.gpu import GpuTrainer
from vaeopt.stages.vae.trainers.native import NativeTrainer
from vaeopt.stages.vae.trainers.stacked import StackedTrainer
from vaeopt.stages.vae.trainers.trust import is_trusted, trusts

__all__ = ["choose_trainer", "stack_key", "trained_by"]

_CACHED_MEMBERS = 8  # more of them are slower again: their weights no longer fit into the cache
_MOST_PIXELS = 2**31 - 1  # of all patches: the Triton kernels count them in int32
# What may differ between members that the Triton kernels train together.
_OWN = {"latent_dim", "invariances", "prior_sd", "kl_scale"}


def stack_key(job: Job) -> Hashable | None:
    """What jobs must have in common to share a trainer; None: this one trains alone.

    On a processor all train alone: members fill its cores as they are. On a GPU, the Triton kernels
    stack windows, invariances, latents and KL weights; torch operations stack equal models only.
    """
    settings, device, n_patches = job.settings, job.data.device, len(job.data)
    if _in_kernels(job):
        shared = settings.model_dump_json(exclude=_OWN)
        return "triton", shared, bool(settings.invariances), device, n_patches
    if device.type == "cuda" and settings.engine != "reference":
        return "torch", settings.model_dump_json(), device, job.size_px, n_patches
    return None


def choose_trainer(jobs: Sequence[Job]) -> Trainer:
    """The fastest trainer for these members (``docs/benchmarks.md``, "Stacked members").

    Args:
        jobs: one, or several of equal :func:`stack_key`; members are numbered through all of them
            in order. ``engine = "reference"`` asks for the readable trainer.
    """
    job = jobs[0]
    settings, device = job.settings, job.data.device
    if _in_kernels(job):
        return GpuTrainer(*jobs)
    if NativeTrainer.runs(settings, device):
        (job,) = jobs
        return NativeTrainer(job)
    if settings.engine == "reference":
        (job,) = jobs
        return EagerTrainer(job)
    if device.type == "cuda":
        members = sum(len(job.seeds) for job in jobs)
        needed = _activation_bytes(settings, job.size_px, members)
        return StackedTrainer(*jobs, at_once=needed < _free_bytes(device) / 2)
    return StackedTrainer(*jobs, group=_CACHED_MEMBERS)


def trained_by(settings: VaeSettings, size_px: int, device: torch.device) -> tuple[str, str]:
    """What has trained such a model here, and the numbers that its products were taken of.

    Args:
        settings: of a training that has been done in this process.
        size_px: edge of its patches.
        device: that trained.

    Returns:
        ``native``, ``triton`` or ``torch``; ``float32`` or ``bf16``.
    """
    auto = settings.precision == "auto"
    bf16 = settings.precision == "bf16"
    if runs_native(settings.engine, settings.precision, device):
        return "native", "bf16" if bf16 or (auto and bf16_pays()) else "float32"
    bf16 = bf16 or (auto and device.type == "cuda")
    by_kernels = GpuTrainer.runs(settings, size_px, device)
    if by_kernels and (device.type != "cuda" or is_trusted(settings, device)):
        return "triton", "bf16" if bf16 else "float32"
    return "torch", "bf16" if bf16 and settings.engine != "reference" else "float32"


def _in_kernels(job: Job) -> bool:
    settings, device = job.settings, job.data.device
    if not GpuTrainer.runs(settings, job.size_px, device) or job.data.numel() > _MOST_PIXELS:
        return False
    return device.type != "cuda" or trusts(job)


def _activation_bytes(settings: VaeSettings, size_px: int, n_members: int) -> int:
    """Of the pixels of all members in a spatial decoder: values, and slopes on the way back."""
    n_pixels = n_members * settings.batch_size * size_px**2
    return 4 * n_pixels * settings.width * (2 * settings.depth + 4)


def _free_bytes(device: torch.device) -> int:
    """Of the GPU, and what torch holds back of an earlier training for the next one."""
    free: int = torch.cuda.mem_get_info(device)[0]
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
