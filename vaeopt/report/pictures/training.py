"""The learning curve."""

from typing import NamedTuple

import numpy as np

from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.report.palette import component_colour
from vaeopt.report.pictures.canvas import GREY, SMALL, Canvas
from vaeopt.report.pictures.plane import Plane, spread
from vaeopt.report.pictures.words import headed

__all__ = ["TrainingInfo", "draw_training", "training_info"]

_BOX = (72, 52, 440, 230)  # left, top, width, height [px]
_SIZE = (_BOX[0] + _BOX[2] + 24, _BOX[1] + _BOX[3] + 52)
_STEEP = 0.02  # of the epochs that may leave the upper edge of the picture


class TrainingInfo(NamedTuple):
    """Loss of every training."""

    loss_nats: list[Floats]
    """per training (epochs,), per patch; finite values only"""
    ends: list[str]
    """how each of them ended, in words"""
    shown: tuple[float, float]
    """range of the loss that is shown: the first steep epochs may lie above it"""


def training_info(run: WorkflowRun) -> TrainingInfo:
    """The training of the run and of its replicates."""
    losses: list[Floats] = [np.asarray(one.vae.loss_nats, np.float64) for one in run.members]
    late = [loss[min(len(loss) - 1, round(_STEEP * len(loss))) :] for loss in losses if len(loss)]
    finite = np.concatenate([part[np.isfinite(part)] for part in late] or [np.zeros(0)])
    return TrainingInfo(
        loss_nats=losses,
        ends=[_end(one) for one in run.members],
        shown=spread(finite) if len(finite) else (0.0, 1.0),
    )


def _end(run: WorkflowRun) -> str:
    epochs = len(run.vae.loss_nats)
    text = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    if run.vae.diverged:
        return f"{text}, then diverged"
    if run.vae.stopped:
        return f"{text}, stopped early: the latents had collapsed"
    wanted = run.vae.config.get("epochs", epochs)
    return text if epochs >= wanted else f"{text} of {wanted}: no more improvement"


def draw_training(run: WorkflowRun) -> Canvas:
    """One line per training, with how it ended and its last loss."""
    info = training_info(run)
    longest = max((len(loss) for loss in info.loss_nats), default=0)
    plane = Plane(*_BOX, (0.0, float(max(longest, 2))), info.shown)
    canvas = Canvas(*_SIZE)
    for i, (loss, end) in enumerate(zip(info.loss_nats, info.ends, strict=True)):
        there = np.isfinite(loss) & (loss <= info.shown[1])
        epochs = np.arange(1, len(loss) + 1)
        colour = component_colour(i)
        if there.any():
            places = plane.place(np.column_stack([epochs[there], loss[there]]))
            canvas.line(places, colour, 1.5)
            if len(places) == 1:
                canvas.markers(places, 3, colour)
        if i < 8:
            last = f"; {loss[-1]:.5g} nats" if len(loss) and np.isfinite(loss[-1]) else ""
            name = f"training {i + 1}: " if len(info.ends) > 1 else ""
            y = _BOX[1] + 4 + 16 * i
            right = _BOX[0] + _BOX[2]
            canvas.text(right, y, f"{name}{end}{last}", size=SMALL, anchor="rt", colour=colour)
    if not longest:
        canvas.text(_BOX[0] + 12, _BOX[1] + 12, "no epoch was finished", size=SMALL, colour=GREY)
    plane.frame(canvas, "epoch", "loss (nats per patch)", whole=True)
    headed(canvas, "Training", run)
    return canvas
