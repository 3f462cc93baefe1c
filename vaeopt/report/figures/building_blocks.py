"""What the components of a trial look like."""

import numpy as np
import plotly.graph_objects as go

from vaeopt.core.types import WorkflowRun
from vaeopt.report.style import styled
from vaeopt.stages.vae import decode

__all__ = ["draw_components"]


def draw_components(run: WorkflowRun) -> go.Figure:
    """Decoded mean of each component beside the mean patch of its core points."""
    best = run.mixture.best
    figure = go.Figure()
    if best is None:
        return styled(figure, "", "")
    centres = run.mixture.shift + best.means @ np.linalg.inv(run.mixture.transform).T
    decoded = decode(run.vae, centres)
    rows = []
    for k, picture in enumerate(decoded):
        members = run.mixture.core & (run.mixture.component == k)
        mean = run.patches.pixels[members].mean(axis=0) if members.any() else picture * np.nan
        rows.append(np.vstack([picture, np.full((1, picture.shape[1]), np.nan), mean]))
    gap = np.full((rows[0].shape[0], 1), np.nan)
    strip = np.hstack([part for row in rows for part in (row, gap)][:-1])
    figure.add_heatmap(z=strip, colorscale="gray", showscale=False, zmin=0, zmax=1)
    size = run.vae.window_px
    middle = [(size + 1) * k + (size - 1) / 2 for k in range(len(rows))]
    share = [float(np.mean(run.mixture.component == k)) for k in range(len(rows))]
    text = [f"{k} ({100 * s:.0f} %)" for k, s in enumerate(share)]
    figure.update_xaxes(tickvals=middle, ticktext=text)
    figure.update_yaxes(
        autorange="reversed",
        scaleanchor="x",
        tickvals=[(size - 1) / 2, size + 1 + (size - 1) / 2],
        ticktext=["decoded centre", "mean core patch"],
    )
    return styled(figure, "component (share of key points)", "", height=320)
