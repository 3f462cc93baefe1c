"""Colours of components."""

import colorsys
import re

import numpy as np
import pytest

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


def _linear(colour: str) -> np.ndarray:
    channels = np.asarray([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, white D65."""
    to_xyz = np.asarray(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    ratio = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira & Fernandes (2009), severity 1: linear sRGB as seen without one kind of cone.
_SEEN = {
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}


@pytest.mark.parametrize("kind", list(_SEEN))
def test_the_first_seven_components_differ_to_a_colour_blind_reader(kind: str) -> None:
    seen = [_lab(np.asarray(_SEEN[kind]) @ _linear(component_colour(i))) for i in range(7)]
    seen.append(_lab(np.asarray(_SEEN[kind]) @ _linear(INFEASIBLE)))
    nearest = min(float(np.linalg.norm(a - b)) for i, a in enumerate(seen) for b in seen[i + 1 :])
    # 2.3 is just noticeable side by side; points apart from each other need several times that.
    assert nearest > 12, nearest
