"""The trainings under test, by the words that a study file uses."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from common import INVARIANCES, Plan
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae import Request, VaeSettings, train_many
from vaeopt.stages.vae.trainers import Job, Trainer, choose_trainer

__all__ = ["Entrant", "entrants", "epoch_work", "paper_settings", "train_together", "trainer_name"]


@dataclass(frozen=True)
class Entrant:
    """One way to train, and how many members stand side by side."""

    engine: str
    precision: str
    members: int

    @property
    def label(self) -> str:
        """For tables."""
        return f"{self.engine} {self.precision} x {self.members}"


def entrants(plan: Plan) -> list[Entrant]:
    """All that are timed, the most important ones first.

    ``auto`` is the fastest that there is: Triton kernels on a GPU, compiled code on the CPU.
    ``reference`` trains one member after the other, so more than one say nothing new.
    """
    stacked = [
        Entrant(engine, precision, members)
        for engine in ("auto", "fast")
        for precision in ("bf16", "float32")
        for members in plan.members
    ]
    return [*stacked, Entrant("reference", "float32", 1)]


def paper_settings(model: str, plan: Plan, **changes: object) -> VaeSettings:
    """Model and recipe of the paper on the device that is measured."""
    return VaeSettings(
        **{
            "invariances": INVARIANCES[model],
            "kl_estimator": "sampled",
            "batch_size": 128,
            "device": plan.device,
            **changes,
        }
    )


def epoch_work(
    settings: VaeSettings, size_px: int, data: Tensor, members: int
) -> tuple[Callable[[], int], Trainer]:
    """A function that does one epoch of all members, as the training loop does it.

    Returns:
        The function, which returns the steps of all members (a ragged last batch counts by its
        share), and the trainer.
    """
    seeds = tuple(Seeds(0, member) for member in range(members))
    trainer = choose_trainer([Job(settings, data, size_px, seeds)])
    every = range(members)
    rate = settings.learning_rate

    def work() -> int:
        losses = trainer.epoch(every, rate)
        if not torch.tensor(losses).isfinite().all():
            raise ArithmeticError(f"losses {losses[:4]} are not finite")
        return members * len(data) // settings.batch_size

    return work, trainer


def trainer_name(settings: VaeSettings, patches: Patches) -> str:
    """Which trainer such a training gets."""
    data = torch.from_numpy(patches.pixels.reshape(len(patches), -1).copy()).to(settings.device)
    job = Job(settings, data, patches.size_px, (Seeds(0, 0),))
    return type(choose_trainer([job])).__name__


def train_together(
    requests: Iterable[tuple[VaeSettings, Patches]],
    *,
    seed: int,
    on_epoch: Callable[[int, int, float], None] | None = None,
) -> Sequence[TrainedVae]:
    """Train models of different settings and windows side by side."""
    asked = [
        Request(settings=settings, patches=patches, seeds=(Seeds(seed, number),))
        for number, (settings, patches) in enumerate(requests)
    ]
    return [vae for (vae,) in train_many(asked, on_epoch=on_epoch)]
