"""Colours and shapes: one pair per component, the same everywhere.

The first seven colours are told apart by colour-blind readers; behind them the shape changes with
every seven, so that no pair returns among the first forty-two.
"""

__all__ = ["COMPONENTS", "INFEASIBLE", "component_colour", "component_symbol"]

# Okabe & Ito (2008), black left for text and grey for what does not count.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
# Paul Tol's muted scheme continues where those end.
_TOL_MUTED = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#882255")
# Then the same, light ones darkened by 45 %, dark ones lightened by 42 %.
_SHADES = (
    *("#6BADD2", "#7F5700", "#00573F", "#70435C", "#E7A26B", "#2F6380", "#847D24"),
    *("#897FBA", "#4B7083", "#255E54", "#75B089", "#54541C", "#7A7041", "#BA7F9C"),
)
COMPONENTS = _OKABE_ITO + _TOL_MUTED + _SHADES
"""by the number of the component; the 29th begins again, with another shape"""
INFEASIBLE = "#BBBBBB"


def component_colour(index: int) -> str:
    """Colour of a component; grey for -1 (none).

    >>> component_colour(0), component_colour(-1)
    ('#0072B2', '#BBBBBB')
    """
    if index < 0:
        return INFEASIBLE
    return COMPONENTS[index % len(COMPONENTS)]


_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


def component_symbol(index: int) -> str:
    """Shape of the marks of a component in Plotly's words; circles for -1 (none).

    >>> component_symbol(6), component_symbol(7), component_symbol(-1)
    ('circle', 'square', 'circle')
    """
    return _SYMBOLS[max(index, 0) // len(_OKABE_ITO) % len(_SYMBOLS)]
