"""One model after the other, with the gradients that torch finds: the readable trainer."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.trainers.base import Draws, Job, few_threads

__all__ = ["EagerTrainer"]


class EagerTrainer:
    """A model and an Adam of its own for every member.

    Args:
        job: settings, patches and seeds.
    """

    def __init__(self, job: Job) -> None:
        settings, self._data = job.settings, job.data
        self._draws = [Draws(settings, own) for own in job.seeds]
        self._models = [
            build(settings, job.size_px, seed=own.integer("vae-weights")).to(job.data.device)
            for own in job.seeds
        ]
        self._optimizers = [
            torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
            for model in self._models
        ]
        self._kept = [_copy(model) for model in self._models]

    def epoch(self, members: Sequence[int], learning_rate: float) -> list[float]:
        """See :class:`Trainer`."""
        losses = [self._epoch(member, learning_rate) for member in members]
        for member, loss in zip(members, losses, strict=True):
            if np.isfinite(loss):
                self._kept[member] = _copy(self._models[member])
        return losses

    def weights(self, member: int) -> dict[str, Tensor]:
        """See :class:`Trainer`."""
        return self._kept[member]

    def _epoch(self, member: int, learning_rate: float) -> float:
        model, optimizer, data = self._models[member], self._optimizers[member], self._data
        optimizer.param_groups[0]["lr"] = learning_rate
        order, noise, subsets = self._draws[member].epoch(*data.shape)
        order, noise = order.to(data.device), noise.to(data.device)
        total = torch.zeros((), device=data.device)
        size = model.settings.batch_size
        batches = torch.split(order, size), torch.split(noise, size)
        with few_threads(model.settings, data.device) as threads:
            for step, (rows, draws) in enumerate(zip(*batches, strict=True)):
                patches = data[rows]  # all at once would be a second copy of the data
                pixels = None if subsets is None else subsets[step].to(data.device)
                loss = model.loss_sum(patches, draws, pixels=pixels, threads=threads)
                optimizer.zero_grad(set_to_none=True)
                (loss / len(patches)).backward()  # type: ignore[no-untyped-call]  # torch's stub
                optimizer.step()
                total += loss.detach()
        if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
            return float("nan")  # the last step broke the weights after its loss had been counted
        return float(total) / len(data)


def _copy(model: InvariantVae) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
