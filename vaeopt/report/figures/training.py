"""How the training of a trial went."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, numbers, seen_range, styled

__all__ = ["TrainingInfo", "draw_loss", "training_frame", "training_info"]

_MOST = 500  # points of a line


class TrainingInfo(NamedTuple):
    """Loss after each epoch of every training of a trial."""

    loss_nats: list[Floats]
    """per training (epochs,) nats per patch; the first is the one whose latents are shown"""
    ended: list[str]
    """how each ended: empty if as planned"""


def training_info(run: WorkflowRun) -> TrainingInfo:
    """Losses of the run and of its replicates."""

    def ended(one: WorkflowRun) -> str:
        if one.vae.diverged:
            return "diverged"
        return "stopped early" if one.vae.stopped else ""

    return TrainingInfo(
        [np.asarray(one.vae.loss_nats) for one in run.members], [ended(one) for one in run.members]
    )


def training_frame(info: TrainingInfo) -> pd.DataFrame:
    """One row per training and epoch."""
    parts = [
        pd.DataFrame({"training": i, "epoch": np.arange(1, len(loss) + 1), "loss_nats": loss})
        for i, loss in enumerate(info.loss_nats)
    ]
    return pd.concat(parts, ignore_index=True)


def draw_loss(info: TrainingInfo) -> go.Figure:
    """Training loss per patch against epochs; replicates are thin lines."""
    if not any(len(loss) for loss in info.loss_nats):
        return blank("no epoch was finished")
    figure = go.Figure()
    for i, (loss, ended) in reversed(list(enumerate(zip(info.loss_nats, info.ended, strict=True)))):
        epochs = np.arange(1, len(loss) + 1)
        step = -(-len(loss) // _MOST)
        chosen = np.unique(np.append(epochs[::step] - 1, len(loss) - 1)) if len(loss) else epochs
        name = "this training" if i == 0 else f"replicate {i}"
        figure.add_scatter(
            x=epochs[chosen].tolist(),
            y=numbers(loss[chosen]),
            mode="lines" if len(loss) > 1 else "markers",
            line={"color": component_colour(i), "width": 2.2 if i == 0 else 1.0},
            name=f"{name} ({ended})" if ended else name,
        )
    styled(figure, "epoch", "loss (nats per patch)", height=380)
    figure.update_layout(showlegend=len(info.loss_nats) > 1 or any(info.ended))
    # The first epochs are so much higher that the rest would be a flat line.
    late = np.concatenate([loss[len(loss) // 20 :] for loss in info.loss_nats])
    known = np.isfinite(late)
    figure.update_yaxes(range=seen_range(late, known))
    return figure
