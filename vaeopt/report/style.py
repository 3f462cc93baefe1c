"""What all figures have in common."""

import plotly.graph_objects as go

__all__ = ["short", "styled"]


def short(value: object) -> str:
    """A parameter in a few characters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def styled(figure: go.Figure, x: str, y: str, *, height: int = 420) -> go.Figure:
    """The figure with titles of its axes, white and with narrow margins."""
    figure.update_layout(
        template="simple_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        xaxis_title=x,
        yaxis_title=y,
    )
    return figure
