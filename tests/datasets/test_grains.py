"""Grains: their size, their share of the area, and like ones kept apart."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.datasets.grains import (
    distance_to_boundary,
    kinds_by_area,
    likes_apart,
    voronoi_grains,
)

Labels = NDArray[np.integer[Any]]

SHARES = (0.4, 0.3, 0.3)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("diameter_px", [25.0, 40.0])
def test_grains_have_the_diameter_that_was_asked_for(diameter_px: float) -> None:
    areas = np.bincount(voronoi_grains(200, diameter_px, rng(0)).ravel())
    assert np.sqrt(areas.mean()) == pytest.approx(diameter_px, rel=0.05)
    assert areas.min() > 0.2 * areas.mean()
    assert areas.max() < 2.5 * areas.mean()


@pytest.mark.parametrize("seed", range(3))
def test_areas_are_as_asked_and_no_kind_is_left_out(seed: int) -> None:
    grains = voronoi_grains(200, 30.0, rng(seed))
    kinds = kinds_by_area(grains, SHARES, rng(seed + 10))
    share = np.bincount(kinds[grains].ravel(), minlength=3) / grains.size
    np.testing.assert_allclose(share, SHARES, atol=0.04)


def boundary_px(grains: Labels, kinds: Labels) -> int:
    """Length of the boundaries between grains of one kind."""
    total = 0
    for before, after in ((grains[1:], grains[:-1]), (grains[:, 1:], grains[:, :-1])):
        total += int(((before != after) & (kinds[before] == kinds[after])).sum())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_like_grains_hardly_touch_once_they_are_put_apart(seed: int) -> None:
    grains = voronoi_grains(200, 30.0, rng(seed))
    kinds = kinds_by_area(grains, (0.25,) * 4, rng(seed + 10))
    apart = likes_apart(grains, kinds)
    assert np.array_equal(np.bincount(apart), np.bincount(kinds))
    assert boundary_px(grains, apart) < 0.25 * boundary_px(grains, kinds)
    assert np.array_equal(likes_apart(grains, apart), apart)


def test_grains_of_one_kind_stay_as_they_are() -> None:
    grains = voronoi_grains(80, 30.0, rng(0))
    kinds = np.zeros(grains.max() + 1, dtype=np.int64)
    assert np.array_equal(likes_apart(grains, kinds), kinds)


def test_distance_is_to_another_grain_and_not_to_the_border() -> None:
    grains = np.zeros((20, 20), dtype=np.int64)
    grains[:, 10:] = 1
    away = distance_to_boundary(grains)
    np.testing.assert_array_equal(away[0, :10], np.arange(9, -1, -1))
    np.testing.assert_array_equal(away[7], away[0])
