"""Colours of components."""

import colorsys
import re

from vaeopt.report.palette import INFEASIBLE, component_colour


def test_the_first_fourteen_components_have_colours_of_their_own() -> None:
    colours = [component_colour(i) for i in range(14)]
    assert len(set(colours)) == 14
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in colours)
    assert INFEASIBLE not in colours
    assert component_colour(14) == colours[0]


def test_what_does_not_count_is_grey_and_components_are_not() -> None:
    def saturation(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return colorsys.rgb_to_hsv(red, green, blue)[1]

    assert component_colour(-1) == INFEASIBLE
    assert saturation(INFEASIBLE) == 0
    assert min(saturation(component_colour(i)) for i in range(14)) > 0.3
