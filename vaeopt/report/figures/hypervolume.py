"""How much of the space of the objectives is reached."""

import numpy as np
import optuna
import plotly.graph_objects as go

from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.study.fronts.hypervolume import hypervolume_history

__all__ = ["draw_hypervolume"]


def draw_hypervolume(study: optuna.Study, baseline: optuna.Study | None = None) -> go.Figure:
    """Hypervolume against the number of finished trials, a baseline beside it."""
    figure = go.Figure()
    drawn = [(study, hypervolume_history(study, baseline), component_colour(0))]
    if baseline is not None:
        drawn.append((baseline, hypervolume_history(baseline, study), INFEASIBLE))
    for one, history, colour in drawn:
        figure.add_scatter(
            x=np.arange(1, len(history) + 1),
            y=history,
            mode="lines",
            line={"shape": "hv", "color": colour},
            name=one.study_name,
        )
    figure.update_layout(
        template="simple_white",
        height=360,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        xaxis_title="finished trials",
        yaxis_title="hypervolume (scaled, reference 1.1)",
        showlegend=True,
    )
    return figure
