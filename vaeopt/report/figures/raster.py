"""Pictures inside figures, as PNG: a heat map of the same pixels is twenty times as large."""

import base64
import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from vaeopt.core.types import Floats

__all__ = ["add_picture", "bar_nm", "tiles"]

_MOST_PX = 1024  # a screen shows no more
_LEAST_PX = 400  # smaller pictures would be blurred by the browser


def add_picture(
    figure: go.Figure,
    pixels: Floats,
    *,
    left: float,
    top: float,
    width: float,
    height: float,
    **where: Any,
) -> None:
    """Put a grey picture below the traces.

    Args:
        figure: with axes; their ranges are not changed.
        pixels: (rows, columns) in [0, 1]; NaN is white.
        left: edge of the picture in units of the x axis.
        top: the edge that is seen at the top, in units of the y axis.
        width: in units of the x axis.
        height: in units of the y axis, positive.
        where: ``row`` and ``col`` of a subplot.
    """
    figure.add_layout_image(
        source=_uri(pixels),
        x=left,
        y=top,
        sizex=width,
        sizey=height,
        xref="x",
        yref="y",
        sizing="stretch",
        layer="below",
        **where,
    )


def _uri(pixels: Floats) -> str:
    grey = np.round(255 * np.clip(np.nan_to_num(pixels, nan=1.0), 0, 1)).astype(np.uint8)
    rows, columns = grey.shape
    longest = max(rows, columns)
    picture = Image.fromarray(grey)
    if longest > _MOST_PX:
        size = (columns * _MOST_PX // longest, rows * _MOST_PX // longest)
        picture = picture.resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BOX)
    elif longest < _LEAST_PX:
        times = -(-_LEAST_PX // longest)
        picture = picture.resize((columns * times, rows * times), Image.Resampling.NEAREST)
    if longest > 256:  # a photograph: 64 greys are enough below points, and take half the bytes
        picture = picture.quantize(64)
    held = io.BytesIO()
    picture.save(held, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def tiles(pictures: Floats, columns: int, *, gap: int = 1) -> Floats:
    """Pictures of one size side by side with white lines between them.

    Args:
        pictures: (n, size, size)
        columns: n must be a multiple.
        gap: [px]

    Returns:
        (rows * (size + gap) - gap, columns * (size + gap) - gap)
    """
    size = pictures.shape[-1]
    padded = np.pad(pictures, ((0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    grid = padded.reshape(-1, columns, size + gap, size + gap).transpose(0, 2, 1, 3)
    whole = grid.reshape(-1, columns * (size + gap))
    return np.asarray(whole[: whole.shape[0] - gap, : whole.shape[1] - gap])


def bar_nm(length_px: float, pixel_size_nm: float | None) -> tuple[float, str]:
    """A round scale bar of about a quarter of an image, in pixels, and its label.

    >>> bar_nm(256, 7.8125)
    (64.0, '500 nm')
    >>> bar_nm(256, 78.125)
    (64.0, '5 µm')
    >>> bar_nm(48, None)
    (10.0, '10 px')
    """
    size = 1.0 if pixel_size_nm is None else pixel_size_nm
    wanted = 0.27 * length_px * size
    power = 10.0 ** np.floor(np.log10(wanted))
    round_ = float(max(k * power for k in (1, 2, 5) if k * power <= wanted))
    if pixel_size_nm is None:
        return round_, f"{round_:g} px"
    text = f"{round_ / 1000:g} µm" if round_ >= 1000 else f"{round_:g} nm"
    return round_ / size, text
