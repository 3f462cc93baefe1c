"""How the training of a trial went."""

import numpy as np
import plotly.graph_objects as go

from vaeopt.core.types import WorkflowRun
from vaeopt.report.palette import component_colour
from vaeopt.report.style import styled

__all__ = ["draw_loss"]


def draw_loss(run: WorkflowRun) -> go.Figure:
    """Training loss per patch against epochs."""
    figure = go.Figure()
    loss = run.vae.loss_nats
    figure.add_scatter(
        x=np.arange(1, len(loss) + 1), y=loss, mode="lines", line={"color": component_colour(0)}
    )
    return styled(figure, "epoch", "loss (nats per patch)")
