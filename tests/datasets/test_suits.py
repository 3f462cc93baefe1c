"""Laws of the drawn suits: one area, one centroid, and the symmetry and direction they claim."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.datasets.cards import SYMMETRY
from vaeopt.datasets.suits import AREA_PX2, SUITS, draw_suit

SPADE, CLUB, DIAMOND, HEART = range(4)
BOX_PX = 49
MIDDLE = (24.0, 24.0)
TURNS_DEG = range(0, 360, 3)

Array = NDArray[Any]


def drawn(suit: int, turn_deg: float = 0, shear_deg: float = 0) -> Array:
    return draw_suit(
        suit,
        box_px=BOX_PX,
        centre_yx=MIDDLE,
        angle_rad=np.deg2rad(turn_deg),
        shear_rad=np.deg2rad(shear_deg),
    )


def moments(picture: Array) -> tuple[float, float, float]:
    """Area [px^2] and centroid (row, column) [px]."""
    rows, columns = np.indices(picture.shape)
    area = picture.sum()
    return area, (rows * picture).sum() / area, (columns * picture).sum() / area


def correlation(first: Array, second: Array) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
@pytest.mark.parametrize(("turn_deg", "shear_deg"), [(0, 0), (37, 0), (0, 20), (-110, -20)])
def test_every_suit_has_the_same_area_and_its_centroid_where_it_is_put(
    suit: int, turn_deg: float, shear_deg: float
) -> None:
    area, row, column = moments(drawn(suit, turn_deg, shear_deg))
    assert area == pytest.approx(AREA_PX2, rel=0.01)
    assert (row, column) == pytest.approx(MIDDLE, abs=0.06)


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
def test_a_suit_moves_with_its_centre(suit: int) -> None:
    moved = draw_suit(suit, box_px=BOX_PX, centre_yx=(21.0, 28.0), angle_rad=0.4, shear_rad=0.2)
    there = draw_suit(suit, box_px=BOX_PX, centre_yx=MIDDLE, angle_rad=0.4, shear_rad=0.2)
    assert np.array_equal(moved, np.roll(there, (-3, 4), axis=(0, 1)))


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
def test_coverage_is_that_of_whole_and_partial_pixels(suit: int) -> None:
    values = np.unique(drawn(suit, 20))
    assert np.isin(values, np.arange(17) / 16).all()
    assert {0.0, 1.0} < set(values), "with pixels that are partly inside"


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
def test_an_upright_suit_has_the_size_that_it_states_and_is_the_same_left_and_right(
    suit: int,
) -> None:
    upright = drawn(suit)
    assert correlation(upright, upright[:, ::-1]) > 0.999
    tall, wide = (np.count_nonzero(upright.any(axis=axis)) for axis in (1, 0))
    assert 26 <= tall <= 33
    assert 24 <= wide <= 27


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
def test_the_symmetry_order_is_the_only_one(suit: int) -> None:
    upright = drawn(suit)
    order = SYMMETRY[suit]
    assert correlation(upright, drawn(suit, 360 / order)) > 0.995
    for other in range(order + 1, 9):
        assert correlation(upright, drawn(suit, 360 / other)) < 0.93


def test_a_sheared_diamond_keeps_its_two_fold_axis() -> None:
    assert correlation(drawn(DIAMOND, 10, 20), drawn(DIAMOND, 190, 20)) > 0.995


@pytest.mark.parametrize("first", range(4), ids=SUITS)
def test_no_turn_makes_one_suit_another(first: int) -> None:
    upright = drawn(first)
    for second in set(range(4)) - {first}:
        assert max(correlation(upright, drawn(second, turn)) for turn in TURNS_DEG) < 0.93


@pytest.mark.parametrize("turn_deg", [0, 30, 90, 200])
@pytest.mark.parametrize(("suit", "tip"), [(SPADE, 1), (HEART, -1)], ids=["spade", "heart"])
def test_the_tip_is_across_the_angle(suit: int, tip: int, turn_deg: float) -> None:
    """Upright, a spade's tip is on top and a heart's at the bottom; a positive turn is clockwise
    as the image is seen, so that a spade at 90 degrees points to the right."""
    turned = drawn(suit, turn_deg)
    rows, columns = np.indices(turned.shape) - MIDDLE[0]
    up = (-np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg)))
    along = tip * (rows * up[0] + columns * up[1])
    across = rows * up[1] - columns * up[0]
    near_tip = (along > along[turned > 0.5].max() - 4) & (turned > 0.5)
    assert np.abs(across[near_tip]).max() < 5, "narrow, while stem and lobes are wide there"
    assert along[near_tip].min() > 8


@pytest.mark.parametrize("suit", range(4), ids=SUITS)
def test_a_shear_leans_the_suit_to_its_right(suit: int) -> None:
    rows, columns = np.indices((BOX_PX, BOX_PX)) - MIDDLE[0]
    tilt = (drawn(suit, 0, 20) * -rows * columns).sum() / (drawn(suit) * rows**2).sum()
    assert tilt == pytest.approx(np.tan(np.deg2rad(20)), rel=0.03)
