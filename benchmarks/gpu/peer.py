"""pyroVED on the same device in the same run, taking turns with ours.

The peer is ``pyroved.models.iVAE`` with the widths of the paper and its own trainer. Its best case
is timed too: batches that lie ready on the device, and nothing but ``svi.step``. One process: its
parameters live in one store per process, so its models cannot train side by side.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from common import INVARIANCES, Plan, Section, interleaved, quartiles
from engines import Entrant, epoch_work, paper_settings
from torch import Tensor

__all__ = ["LETTERS", "missing", "peer_training", "run"]

LETTERS = {"none": None, "r": ["r"], "rt": ["r", "t"]}
_LEAST_S, _PEER_STEPS = 8.0, 8
_STEP, _TRAINER = "pyroVED, svi.step", "pyroVED, its trainer"


def run(plan: Plan, section: Section) -> None:
    """Every window with every model."""
    if plan.smoke and missing():
        section.put(missing=missing())
        return
    import pyro  # not everybody who tries the script has the peer
    import pyroved

    section.put(pyro=pyro.__version__, pyroved=getattr(pyroved, "__version__", None))
    for size in plan.windows_px:
        for model in reversed(INVARIANCES):
            if section.has_time(f"{model} {size} px", 0 if plan.smoke else _LEAST_S):
                section.attempt(f"{model} {size} px", partial(_measure, plan, section, model, size))


def missing() -> list[str]:
    """What the peer needs and is not installed."""
    needed = ("pyro", "pyroved", "torchvision")
    return [name for name in needed if importlib.util.find_spec(name) is None]


def peer_training(
    model: str, size_px: int, data: Tensor, device: str, *, seed: int = 1
) -> tuple[Any, Any]:
    """A trainer of pyroVED and its loader; its models empty Pyro's store, so one at a time.

    The loader has its patches on the processor, as its users do: it picks them one by one, which
    takes longer on a GPU.
    """
    import pyroved

    kind = torch.device(device).type
    peer = pyroved.models.iVAE((size_px, size_px), 2, LETTERS[model], seed=seed, device=kind)
    loader = pyroved.utils.init_dataloader(data.cpu().view(-1, size_px, size_px), batch_size=128)
    trainer = pyroved.trainers.SVItrainer(peer, lr=1e-3, seed=seed, device=kind)
    return trainer, loader


def _peer_works(plan: Plan, model: str, size_px: int, data: Tensor) -> dict[str, Callable[[], int]]:
    kl_scale = paper_settings(model, plan).kl_scale * size_px**2
    trainer, loader = peer_training(model, size_px, data, plan.device)
    batches = data.view(-1, size_px, size_px).split(128)
    turn = iter(range(10**9))

    def step() -> int:
        for _ in range(_PEER_STEPS):
            trainer.svi.step(batches[next(turn) % len(batches)], scale_factor=kl_scale)
        return _PEER_STEPS

    def epoch() -> int:
        trainer.step(loader, scale_factor=kl_scale)
        return len(data) // 128

    return {_STEP: step, _TRAINER: epoch}


def _measure(plan: Plan, section: Section, model: str, size_px: int) -> None:
    data = torch.rand(plan.step_patches, size_px**2, device=plan.device)
    works = _peer_works(plan, model, size_px, data)
    for precision in ("bf16", "float32"):
        for members in (1, plan.stacked):
            entrant = Entrant("auto", precision, members)

            def make(entrant: Entrant = entrant) -> None:
                settings = paper_settings(model, plan, precision=entrant.precision)
                work, _ = epoch_work(settings, size_px, data, entrant.members)
                work()
                works[f"ours, {entrant.precision} x {entrant.members}"] = work

            section.attempt(f"{model} {size_px} px, {entrant.label}", make)
    times = interleaved(plan, works, left=lambda: section.left_s)
    best = np.minimum(times[_STEP], times[_TRAINER])
    for label, seconds in times.items():
        section.row(
            "rows",
            {
                "model": model,
                "window_px": size_px,
                "who": label,
                "us": quartiles([s * 1e6 for s in seconds]),
                # Turn by turn, so that a slow moment of the machine hits both; against the faster
                # way of the peer, so that the ratio is not too large.
                "times_faster": quartiles((best / seconds).tolist()),
                "repeats": len(seconds),
            },
        )
