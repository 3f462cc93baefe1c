"""Classes derived from polarity and regions, on arrays whose answer is plain."""

import numpy as np
import pytest

from vaeopt.datasets import AMBIGUOUS
from vaeopt.datasets.labels import polarity_domains, region_classes, wall_classes

WALL, OTHER = 0, 1


def half_plane(size: int = 40, column: int = 10) -> np.ndarray:
    """True left of the border that runs before ``column``."""
    return np.tile(np.arange(size) < column, (size, 1))


def along_row(columns: list[int], row: int = 20) -> np.ndarray:
    return np.asarray([(row, column) for column in columns], dtype=np.float64)


@pytest.mark.parametrize("offset_deg", [0.0, 37.0, 90.0, -120.0, 180.0])
def test_the_polarity_does_not_depend_on_the_offset_of_the_phase(offset_deg: float) -> None:
    true = half_plane()
    phase = np.where(true, 180.0, 0.0) + offset_deg
    found = polarity_domains(np.ones(true.shape), phase)
    assert np.array_equal(found, true)


def test_the_phase_may_wrap_anywhere() -> None:
    true = half_plane()
    phase = np.where(true, 185.0, 5.0)
    wrapped = (phase + 90) % 360 - 90
    assert np.array_equal(
        polarity_domains(np.ones(true.shape), wrapped), polarity_domains(np.ones(true.shape), phase)
    )


def test_the_domains_are_those_that_cover_less() -> None:
    true = half_plane(column=30)
    found = polarity_domains(np.ones(true.shape), np.where(true, 180.0, 0.0))
    assert np.array_equal(found, ~true)


def test_classes_go_by_the_distance_to_the_border_between_pixels() -> None:
    # The border is at column 9.5: distances 0.5, 2.5, 3.5, 5.5, 6.5 to its right, then its left.
    places = along_row([10, 12, 13, 15, 16, 9, 7, 6, 4, 3])
    expected = [WALL, WALL, AMBIGUOUS, AMBIGUOUS, OTHER] * 2
    assert wall_classes(half_plane(), places).tolist() == expected


def test_distances_are_settings() -> None:
    places = along_row([10, 11, 12])
    found = wall_classes(half_plane(), places, wall_px=0.5, far_px=2.0)
    assert found.tolist() == [WALL, AMBIGUOUS, OTHER]


def test_the_outline_of_an_island_of_noise_is_neither_wall_nor_other_edge() -> None:
    domains = half_plane()
    domains[18:22, 28:32] = True  # 16 px
    places = along_row([10, 18, 24, 28, 36])
    expected = [WALL, OTHER, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS]
    assert wall_classes(domains, places).tolist() == expected
    assert wall_classes(domains, places, smallest_px=16).tolist()[3] == WALL


def test_a_hole_of_noise_in_a_domain_is_no_wall_either() -> None:
    domains = half_plane()
    domains[20, 2] = False
    assert wall_classes(domains, along_row([2])).tolist() == [AMBIGUOUS]
    assert wall_classes(domains, along_row([2]), smallest_px=1).tolist() == [WALL]


@pytest.mark.parametrize("value", [True, False])
def test_one_polarity_everywhere_has_no_wall(value: bool) -> None:
    domains = np.full((40, 40), value)
    assert wall_classes(domains, along_row([0, 20, 39])).tolist() == [OTHER] * 3


def test_positions_between_pixels_count_as_the_nearest() -> None:
    places = np.asarray([(20.4, 15.6), (19.6, 9.51)])
    assert wall_classes(half_plane(), places).tolist() == [OTHER, WALL]


def test_places_of_a_region_keep_away_from_its_outline() -> None:
    regions = np.zeros((40, 40), dtype=np.uint8)
    regions[:, :15], regions[:, 20:] = 1, 2
    places = along_row([0, 10, 11, 14, 17, 20, 23, 24, 39])
    expected = [0, 0, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, AMBIGUOUS, 1, 1]
    assert region_classes(regions, places, margin_px=5).tolist() == expected


def test_a_region_that_is_the_whole_image_has_no_outline() -> None:
    regions = np.ones((40, 40), dtype=np.uint8)
    assert region_classes(regions, along_row([0, 39]), margin_px=50).tolist() == [0, 0]


def test_nothing_marked_gives_no_class() -> None:
    regions = np.zeros((40, 40), dtype=np.uint8)
    assert region_classes(regions, along_row([20]), margin_px=0).tolist() == [AMBIGUOUS]
