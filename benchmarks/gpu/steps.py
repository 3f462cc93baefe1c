"""How long is a step of one member, by engine, model, window and members side by side?

Random patches, and as many full batches per epoch as the paper's sweep has. What is timed is an
epoch as the training loop does it: random numbers drawn on the processor and carried over, all
steps, losses fetched.
"""

from functools import partial

import torch
from common import INVARIANCES, Plan, Section, interleaved, quartiles
from engines import Entrant, entrants, epoch_work, paper_settings
from floors import step_floor

__all__ = ["run"]

_LEAST_S = 8.0  # a configuration that has less left is not begun


def run(plan: Plan, section: Section) -> None:
    """Every window with every model; engines of one of them take turns."""
    for size in plan.windows_px:
        for model in reversed(INVARIANCES):
            if section.has_time(f"{model} {size} px", 0 if plan.smoke else _LEAST_S):
                section.attempt(f"{model} {size} px", partial(_measure, plan, section, model, size))


def _measure(plan: Plan, section: Section, model: str, size_px: int) -> None:
    data = torch.rand(plan.step_patches, size_px**2, device=plan.device)
    works, trainers = {}, {}
    for entrant in entrants(plan):

        def make(entrant: Entrant = entrant) -> None:
            settings = paper_settings(
                model, plan, engine=entrant.engine, precision=entrant.precision
            )
            work, trainer = epoch_work(settings, size_px, data, entrant.members)
            work()  # one that cannot run must not end the turns of all
            works[entrant], trainers[entrant] = work, type(trainer).__name__

        section.attempt(f"{model} {size_px} px, {entrant.label}", make)
    times = interleaved(plan, works, left=lambda: section.left_s)
    for entrant, seconds in times.items():
        section.row(
            "rows",
            {
                "model": model,
                "window_px": size_px,
                **vars(entrant),
                "trainer": trainers[entrant],
                "us": quartiles([s * 1e6 for s in seconds]),
                "repeats": len(seconds),
                "floor": step_floor(model, size_px).to_table(),
            },
        )
