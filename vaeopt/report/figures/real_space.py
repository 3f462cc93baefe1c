"""Components at their key points on the image."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints, WorkflowRun
from vaeopt.report.palette import component_colour
from vaeopt.report.style import styled

__all__ = ["MapInfo", "draw_map", "map_info"]


class MapInfo(NamedTuple):
    """Where each component sits on the image."""

    pixels: Floats
    yx_px: Floats
    component: Ints
    kept: Bools
    pixel_size_nm: float | None


def map_info(run: WorkflowRun) -> MapInfo:
    """Key points by component over the micrograph."""
    return MapInfo(
        run.micrograph.pixels,
        run.keypoints.yx_px,
        run.mixture.component,
        run.mixture.kept,
        run.micrograph.pixel_size_nm,
    )


def draw_map(info: MapInfo) -> go.Figure:
    """Key points on the image, row 0 at the top, one pixel as wide as high."""
    figure = go.Figure()
    figure.add_heatmap(z=info.pixels, colorscale="gray", showscale=False, hoverinfo="skip")
    for k in sorted(set(info.component.tolist())):
        mask = info.component == k
        figure.add_scatter(
            x=info.yx_px[mask, 1],
            y=info.yx_px[mask, 0],
            mode="markers",
            name=f"component {k}" if k >= 0 else "key points",
            marker={
                "color": component_colour(k),
                "size": 6,
                "opacity": np.where(info.kept[mask], 1.0, 0.35),
                "line": {"width": 0.5, "color": "white"},
            },
        )
    figure.update_yaxes(autorange="reversed", scaleanchor="x")
    size = "" if info.pixel_size_nm is None else f"; 1 px = {info.pixel_size_nm:.4g} nm"
    return styled(figure, f"column (px{size})", "row (px)", height=640)
