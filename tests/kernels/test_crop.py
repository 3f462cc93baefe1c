"""Windows: a window of 13 is 13 x 13 and centred, and larger ones hold the smaller ones."""

import itertools

import numpy as np
import pytest

from vaeopt.kernels.crop import crop, first_pixel, fits

ROWS, COLUMNS = 40, 50
IMAGE = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)


def test_a_window_of_13_is_13_by_13_and_centred() -> None:
    window = crop(IMAGE, np.array([[20.0, 30.0]]), 13)
    assert window.shape == (1, 13, 13)
    np.testing.assert_array_equal(window[0], IMAGE[14:27, 24:37])
    assert window[0, 6, 6] == IMAGE[20, 30]


def test_an_even_window_has_its_key_point_right_and_below_its_centre() -> None:
    window = crop(IMAGE, np.array([[20.0, 30.0]]), 8)
    np.testing.assert_array_equal(window[0], IMAGE[16:24, 26:34])
    assert window[0, 4, 4] == IMAGE[20, 30]


@pytest.mark.parametrize(
    ("position", "pixel"), [(9.6, 10), (10.4, 10), (10.5, 10), (10.51, 11), (11.5, 11)]
)
def test_windows_lie_round_the_nearest_pixel_halves_go_to_the_lower(
    position: float, pixel: int
) -> None:
    assert first_pixel(np.array([[position, 25.0]]), 5).tolist() == [[pixel - 2, 23]]


@pytest.mark.parametrize(
    ("size", "least", "most_row", "most_column"), [(5, 2, 37, 47), (8, 4, 36, 46), (1, 0, 39, 49)]
)
def test_a_window_fits_up_to_the_last_pixel(
    size: int, least: int, most_row: int, most_column: int
) -> None:
    inside = np.array([[least, least], [most_row, most_column]], dtype=float)
    outside = np.array(
        [[least - 1, 20], [20, least - 1], [most_row + 1, 20], [20, most_column + 1]], dtype=float
    )
    assert fits(inside, size, IMAGE.shape).all()
    assert not fits(outside, size, IMAGE.shape).any()


def test_a_place_for_a_window_is_a_place_for_every_smaller_one() -> None:
    places = np.random.default_rng(0).uniform([-3, -3], [ROWS + 3, COLUMNS + 3], (500, 2))
    room = [fits(places, size, IMAGE.shape) for size in range(1, 24)]
    for smaller, larger in itertools.pairwise(room):
        assert smaller[larger].all()
    assert room[0].sum() > room[-1].sum() > 0


@pytest.mark.parametrize("large", [12, 13])
@pytest.mark.parametrize("small", [3, 4, 7, 8])
def test_a_smaller_window_is_the_middle_of_a_larger_one(large: int, small: int) -> None:
    places = np.array([[20.0, 30.0], [11.3, 19.8]])
    first = large // 2 - small // 2
    middle = crop(IMAGE, places, large)[:, first : first + small, first : first + small]
    np.testing.assert_array_equal(crop(IMAGE, places, small), middle)


def test_a_batch_of_windows_is_cut_as_one_by_one() -> None:
    places = np.random.default_rng(1).uniform(8, 30, (20, 2))
    together = crop(IMAGE, places, 9)
    for i, place in enumerate(places):
        np.testing.assert_array_equal(together[i], crop(IMAGE, place[None], 9)[0])


def test_no_key_points_give_no_windows() -> None:
    assert crop(IMAGE, np.zeros((0, 2)), 9).shape == (0, 9, 9)


def test_windows_are_float32() -> None:
    assert crop(IMAGE.astype(np.float64), np.array([[20.0, 30.0]]), 5).dtype == np.float32
