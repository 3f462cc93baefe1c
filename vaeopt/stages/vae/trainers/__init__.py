"""What does an epoch of training: one trainer per file, with one protocol."""

from vaeopt.stages.vae.trainers.base import Job, Trainer, few_threads
from vaeopt.stages.vae.trainers.choose import choose_trainer, stack_key, trained_by
from vaeopt.stages.vae.trainers.eager import EagerTrainer
from vaeopt.stages.vae.trainers.gpu import GpuTrainer
from vaeopt.stages.vae.trainers.native import NativeTrainer
from vaeopt.stages.vae.trainers.stacked import StackedTrainer

__all__ = [
    "EagerTrainer",
    "GpuTrainer",
    "Job",
    "NativeTrainer",
    "StackedTrainer",
    "Trainer",
    "choose_trainer",
    "few_threads",
    "stack_key",
    "trained_by",
]
