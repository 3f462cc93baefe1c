"""What all figures have in common: fonts, axes with units, hover, numbers in few bytes."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

__all__ = [
    "BAR_MARGIN_PX",
    "FONT_PX",
    "GRID",
    "INK",
    "Direction",
    "arrowed",
    "better",
    "blank",
    "hover_label",
    "limits",
    "numbers",
    "pixels_axis",
    "seen_range",
    "short",
    "styled",
    "whole",
    "wrapped",
]

Direction = Literal["minimize", "maximize"]

FONT_PX = 13
INK, GRID = "#222222", "#E6E6E6"
_DIGITS = 5
BAR_MARGIN_PX = 140
"""right margin of figures with a colour bar: room for the buttons beside it"""
_MOST_TICKS = 10


def short(value: object) -> str:
    """A parameter in a few characters, safe in the hover text of a figure.

    >>> short(0.0061037), short("none"), short(True)
    ('0.006104', 'none', 'True')
    """
    return f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))


def hover_label(number: int, params: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """Number, values and parameters of a trial, one per line.

    >>> hover_label(3, {"patches.size_px": 7}, {"gain": 0.5})
    '<b>trial 3</b><br>gain 0.5<br>size_px 7'
    """
    # The last part of a path says enough, and three hundred labels are most of a figure.
    named = {name.rsplit(".", 1)[-1]: value for name, value in params.items()}
    if len(named) < len(params):
        named = dict(params)
    lines = [f"{html.escape(k)} {short(v)}" for k, v in (*more.items(), *named.items())]
    return "<br>".join([f"<b>trial {number}</b>", *lines])


def numbers(values: Iterable[Any]) -> list[float | int | None]:
    """Numbers for a figure: five digits, None where there is none.

    Lists and not arrays: Plotly writes arrays in a form that older readers of its JSON do not know.

    >>> numbers(np.asarray([1.0, 0.123456789, np.nan]))
    [1, 0.12346, None]
    """
    kept: list[float | int | None] = []
    for value in np.asarray(list(values), np.float64).tolist():
        if not np.isfinite(value):
            kept.append(None)
        elif value == int(value) and abs(value) < 1e9:
            kept.append(int(value))
        else:
            kept.append(float(f"{value:.{_DIGITS}g}"))
    return kept


def better(direction: Direction) -> str:
    """Which values are good, in words."""
    return "lower is better" if direction == "minimize" else "higher is better"


def arrowed(name: str, direction: Direction) -> str:
    """The title of an axis with an arrow to the good end.

    The title of a vertical axis is turned with its arrow, so that it points up or down.

    >>> arrowed("gain", "maximize"), arrowed("fvu", "minimize")
    ('gain (higher is better →)', 'fvu (← lower is better)')
    """
    words = better(direction)
    told = f"← {words}" if direction == "minimize" else f"{words} →"
    return f"{html.escape(name)} ({told})"


def wrapped(text: str, width: int = 26) -> str:
    """A long name in lines that fit above a small figure.

    Names may have no spaces: lines end behind commas, underscores and plus signs too, and before
    opening brackets.

    >>> wrapped("icl", 10), wrapped("spatial_kappa_4_to_6", 12)
    ('icl', 'spatial_<br>kappa_4_to_6')
    """
    lines = [""]
    for word in re.findall(r"\(?[^,_+ =(]*[,_+ =]?", text):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "<br>".join(html.escape(one.strip()) for one in lines)


def limits(values: Iterable[float], margin: float = 0.07) -> list[float] | None:
    """Range of an axis that shows these values with room around them; None for no values."""
    known = np.asarray([v for v in values if np.isfinite(v)], np.float64)
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    room = margin * (high - low) or 0.05 * abs(high) or 1.0
    return [low - room, high + room]


def seen_range(values: np.ndarray, counts: np.ndarray, *, margin: float = 0.07) -> Any:
    """Range that shows the values that count; all values if none of them counts."""
    return limits(values[counts] if np.asarray(counts).any() else values, margin)


def whole(values: Iterable[float]) -> dict[str, Any]:
    """Ticks of an axis of whole numbers: none between them.

    >>> whole([1, 2, 4]), whole([0.5, 2]), whole([0, 300])
    ({'dtick': 1}, {}, {})
    """
    known = np.asarray([v for v in values if np.isfinite(v)], np.float64)
    # On longer axes Plotly finds whole numbers by itself.
    few = len(known) > 0 and np.ptp(known) <= _MOST_TICKS
    return {"dtick": 1} if few and (known == np.round(known)).all() else {}


def pixels_axis(name: str, values: Sequence[float], pixel_size_nm: float | None) -> dict[str, Any]:
    """Title and ticks of an axis in pixels, nanometres below them where their size is known.

    >>> pixels_axis("window", [7, 9], 7.8)["ticktext"]
    ['7<br>54.6', '9<br>70.2']
    >>> pixels_axis("window", [7, 9], 7.8)["title_text"]
    'window (px, below nm)'
    """
    texts, unit = [f"{v:g}" for v in values], "px"
    if pixel_size_nm is not None:
        unit = "px, below nm"
        texts = [f"{t}<br>{_nm(v * pixel_size_nm)}" for t, v in zip(texts, values, strict=True)]
    return {
        "title_text": f"{name} ({unit})",
        "tickmode": "array",
        "tickvals": list(values),
        "ticktext": texts,
    }


def _nm(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def styled(figure: go.Figure, x: str = "", y: str = "", *, height: int = 440) -> go.Figure:
    """The figure with titles of its axes, white, with narrow margins and without a title.

    Args:
        figure: changed in place and returned.
        x: title of the x axis, with its unit.
        y: the same of the y axis.
        height: [px]
    """
    figure.update_layout(
        template="simple_white",
        height=height,
        font={"size": FONT_PX, "color": INK, "family": "Helvetica, Arial, sans-serif"},
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": 70, "r": 46, "t": 30, "b": 60},
        # Upright in the margin, where neither a legend nor points lie below it.
        modebar={"orientation": "v", "bgcolor": "rgba(0,0,0,0)"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        hoverlabel={"align": "left", "font": {"size": 12}},
    )
    axes = {
        "automargin": True,
        "gridcolor": GRID,
        "showgrid": True,
        "ticks": "outside",
        "title": {"standoff": 8, "font": {"size": 14}},
        "tickfont": {"size": 12},
    }
    figure.update_xaxes(**axes)
    figure.update_yaxes(**axes)
    if x:
        figure.update_xaxes(title_text=x)
    if y:
        figure.update_yaxes(title_text=y)
    return figure


def blank(text: str) -> go.Figure:
    """A figure that says why it is empty."""
    figure = styled(go.Figure(), height=160)
    figure.add_annotation(
        text=html.escape(text), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
