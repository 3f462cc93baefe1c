"""Colours: one per component, the same everywhere, told apart by colour-blind readers."""

__all__ = ["COMPONENTS", "INFEASIBLE", "component_colour"]

# Okabe & Ito (2008), black left for text and grey for what does not count.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
# Paul Tol's muted scheme continues where those end.
_TOL_MUTED = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#882255")
COMPONENTS = _OKABE_ITO + _TOL_MUTED
"""by the number of the component; they repeat from the start"""
INFEASIBLE = "#BBBBBB"


def component_colour(index: int) -> str:
    """Colour of a component; grey for -1 (none).

    >>> component_colour(0), component_colour(-1)
    ('#0072B2', '#BBBBBB')
    """
    if index < 0:
        return INFEASIBLE
    return COMPONENTS[index % len(COMPONENTS)]
