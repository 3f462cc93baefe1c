"""Components, or poses, at their key points on the image (the paper's figure 7)."""

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from vaeopt.core.types import Bools, Floats, Ints, WorkflowRun
from vaeopt.report.figures.latents import drawn
from vaeopt.report.figures.raster import add_picture, bar_nm
from vaeopt.report.palette import component_colour
from vaeopt.report.style import blank, numbers, pixels_axis, styled

__all__ = ["AngleInfo", "MapInfo", "angle_info", "draw_angles", "draw_map", "map_info"]

# A cycle: -180 and 180 degrees are one direction. Matplotlib's twilight, of even lightness.
_CYCLE = "Twilight"


class MapInfo(NamedTuple):
    """Where each component sits on the image."""

    pixels: Floats
    yx_px: Floats
    component: Ints
    kept: Bools
    pixel_size_nm: float | None
    window_px: int


class AngleInfo(NamedTuple):
    """How each patch is turned against its decoded picture."""

    pixels: Floats
    yx_px: Floats
    angle_deg: Floats
    """(n,) in [-180, 180); empty where the VAE has no rotation"""
    pixel_size_nm: float | None


def map_info(run: WorkflowRun) -> MapInfo:
    """Key points by component over the micrograph."""
    return MapInfo(
        run.micrograph.pixels,
        run.keypoints.yx_px,
        run.mixture.component,
        run.mixture.kept,
        run.micrograph.pixel_size_nm,
        run.vae.window_px,
    )


def angle_info(run: WorkflowRun) -> AngleInfo:
    """The angle that the encoder gives to the patch of each key point."""
    angle = np.degrees(run.latents.codes.get("angle_rad", np.zeros(0)))
    return AngleInfo(
        run.micrograph.pixels,
        run.keypoints.yx_px[run.patches.keypoint_index],
        np.asarray((angle + 180) % 360 - 180),
        run.micrograph.pixel_size_nm,
    )


def draw_map(info: MapInfo) -> go.Figure:
    """Key points on the image, row 0 at the top, one pixel as wide as high."""
    figure = go.Figure()
    shown = np.zeros(len(info.component), bool)
    shown[drawn(len(info.component))] = True
    for k in sorted(set(info.component.tolist())):
        own = info.component == k
        mask = own & shown
        figure.add_scatter(
            x=numbers(info.yx_px[mask, 1]),
            y=numbers(info.yx_px[mask, 0]),
            mode="markers",
            name=f"component {k} ({own.sum()})" if k >= 0 else "key points",
            marker={
                "color": component_colour(k),
                "size": 6.5,
                "opacity": np.where(info.kept[mask], 1.0, 0.3).tolist(),
                "line": {"width": 0.6, "color": "white"},
            },
            hovertemplate="row %{y:.1f} px, column %{x:.1f} px",
        )
    _on_image(figure, info.pixels, info.pixel_size_nm)
    edge = 0.5 + info.window_px
    for colour, width in (("white", 3), ("black", 1.2)):
        figure.add_shape(
            type="rect",
            opacity=1,
            fillcolor="rgba(0,0,0,0)",
            x0=0.5,
            y0=0.5,
            x1=edge,
            y1=edge,
            line={"color": colour, "width": width},
        )
    figure.update_layout(showlegend=True)
    return figure


def draw_angles(info: AngleInfo) -> go.Figure:
    """The same with the angle of the patch as a colour that closes in itself."""
    if not len(info.angle_deg):
        return blank("no rotation was learnt: the VAE is not invariant to it")
    figure = go.Figure()
    chosen = drawn(len(info.angle_deg))
    figure.add_scatter(
        x=numbers(info.yx_px[chosen, 1]),
        y=numbers(info.yx_px[chosen, 0]),
        mode="markers",
        name="key points",
        marker={
            "color": [round(float(a), 1) for a in info.angle_deg[chosen]],
            "colorscale": _CYCLE,
            "cmin": -180,
            "cmax": 180,
            "size": 6.5,
            "line": {"width": 0.6, "color": "white"},
            "colorbar": {
                "title": {"text": "angle (°)", "side": "right"},
                "tickvals": [-180, -90, 0, 90, 180],
                "thickness": 14,
            },
        },
        hovertemplate="row %{y:.1f} px, column %{x:.1f} px: %{marker.color:.0f}°<extra></extra>",
    )
    _on_image(figure, info.pixels, info.pixel_size_nm)
    return figure


def _on_image(figure: go.Figure, pixels: Floats, pixel_size_nm: float | None) -> None:
    """The image below, square pixels, ticks in px and nm, a scale bar."""
    rows, columns = pixels.shape
    # Lighter, so that points stand out.
    add_picture(figure, 0.25 + 0.75 * pixels, left=-0.5, top=-0.5, width=columns, height=rows)
    styled(figure, height=700)
    figure.update_layout(margin={"t": 45}, legend={"y": 1.025})
    common: dict[str, Any] = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    for name, update, count in (
        ("column", figure.update_xaxes, columns),
        ("row", figure.update_yaxes, rows),
    ):
        step = next(
            s
            for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10**9)
            if count / s <= 6
        )
        ticks = list(range(0, count + 1, step))
        update(**common, **pixels_axis(name, ticks, pixel_size_nm))
    figure.update_xaxes(range=[-0.5, columns - 0.5])
    figure.update_yaxes(range=[rows - 0.5, -0.5], scaleanchor="x", scaleratio=1)
    length, text = bar_nm(columns, pixel_size_nm)
    right, bottom = 0.965 * columns, 0.965 * rows
    figure.add_shape(
        type="rect",
        opacity=1,
        x0=right - length - 0.015 * columns,
        x1=right + 0.015 * columns,
        y0=bottom - 0.075 * rows,
        y1=bottom + 0.018 * rows,
        fillcolor="rgba(0,0,0,0.62)",
        line={"width": 0},
    )
    figure.add_shape(
        type="rect",
        opacity=1,
        x0=right - length,
        x1=right,
        y0=bottom - 0.012 * rows,
        y1=bottom,
        fillcolor="white",
        line={"width": 0},
    )
    figure.add_annotation(
        x=right - length / 2,
        y=bottom - 0.014 * rows,
        text=text,
        showarrow=False,
        yanchor="bottom",
        font={"color": "white", "size": 13},
        borderpad=1,
    )
