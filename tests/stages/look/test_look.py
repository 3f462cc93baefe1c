"""Key points as a descriptor sees them: parted where there is something to part."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from vaeopt.core.types import KeyPoints, Look, Micrograph
from vaeopt.stages.look import COMPONENTS, look_at
from vaeopt.stages.rewards.partition import agreement
from vaeopt.testing import example_micrograph

WINDOW = 11


def _points(yx_px: ArrayLike) -> KeyPoints:
    places = np.asarray(yx_px, np.float64)
    return KeyPoints(yx_px=places, strength=np.ones(len(places)))


def _image(pixels: NDArray[np.float64]) -> Micrograph:
    return replace(example_micrograph(), pixels=pixels.astype(np.float32))


def _halves(seed: int = 0) -> tuple[Micrograph, KeyPoints, NDArray[np.int64]]:
    """Stripes of period 4 beside those of period 10, turned at random from tile to tile."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:24, :24]
    tiles = [
        [np.sin((row * np.sin(a) + column * np.cos(a)) * 2 * np.pi / period) for a in angles]
        for period, angles in [
            (p, rng.uniform(0, np.pi, 8)) for p in np.where(np.arange(16) < 8, 4, 10)
        ]
    ]
    pixels = 0.5 + 0.4 * np.block(tiles) + 0.03 * rng.standard_normal((384, 192))
    # Where windows fit into their tile.
    places = np.array(list(product(range(12, 384, 24), range(12, 192, 24))), dtype=float)
    return _image(pixels), _points(places), (places[:, 0] > 192).astype(np.int64)


def _same(a: Look, b: Look) -> bool:
    return (
        np.array_equal(a.alike, b.alike)
        and a.labels.keys() == b.labels.keys()
        and all(np.array_equal(a.labels[k], b.labels[k]) for k in a.labels)
    )


def test_two_textures_are_told_apart_whatever_their_turn() -> None:
    image, points, side = _halves()
    look = look_at(image, points, largest_window_px=WINDOW)
    assert agreement(look.labels[2], side).ari > 0.95
    assert np.mean(side[look.alike] == side[:, None]) > 0.97


def test_there_are_labels_for_each_number_of_components() -> None:
    image, points, _ = _halves()
    look = look_at(image, points, largest_window_px=WINDOW)
    assert list(look.labels) == list(COMPONENTS) == [2, 3, 4, 5, 6, 7, 8]
    for k, labels in look.labels.items():
        assert labels.shape == (128,)
        assert labels.dtype == np.int64
        assert set(labels) <= set(range(k))
        assert len(set(labels)) > 1
    assert look.alike.shape == (128, 10)


def test_those_that_look_alike_do_not_overlap() -> None:
    image, points, _ = _halves()
    alike = look_at(image, points, largest_window_px=40).alike
    row, column = np.nonzero(alike >= 0)
    assert len(row) == alike.size
    yx = points.yx_px
    assert (np.linalg.norm(yx[row] - yx[alike[row, column]], axis=1) > 40).all()


def test_the_same_image_looks_the_same() -> None:
    image, points, _ = _halves()
    looks = [look_at(image, points, largest_window_px=WINDOW) for _ in range(2)]
    assert _same(*looks)
    assert not _same(looks[0], look_at(image, points, largest_window_px=WINDOW + 10))


@pytest.mark.parametrize(("n", "last"), [(0, 1), (1, 1), (9, 1), (10, 2), (39, 7), (40, 8)])
def test_few_points_are_parted_into_few(n: int, last: int) -> None:
    """A component takes five points: four features and one."""
    image, points, _ = _halves()
    some = _points(points.yx_px[::3][:n])
    look = look_at(image, some, largest_window_px=WINDOW)
    assert list(look.labels) == list(range(2, last + 1))
    assert look.alike.shape == (n, 10)


def test_a_constant_image_looks_like_nothing() -> None:
    points = _points(np.random.default_rng(0).uniform(20, 80, (80, 2)))
    look = look_at(_image(np.full((100, 100), 0.3)), points, largest_window_px=WINDOW)
    assert look.labels == {}
    assert (look.alike == -1).all()


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_smallest_windows_have_a_look(window: int) -> None:
    image, points, _ = _halves()
    look = look_at(image, points, largest_window_px=window)
    assert list(look.labels) == list(COMPONENTS)


def test_two_windows_repeated_have_two_parts() -> None:
    """Fewer different windows than components: a partition all the same."""
    tile = np.random.default_rng(1).uniform(0, 1, (2, 24, 24))
    pixels = np.block([[tile[(i + j) % 2] for j in range(8)] for i in range(8)])
    at = np.array(list(product(range(8), range(8))))
    points = _points(24.0 * at + 12)
    look = look_at(_image(pixels), points, largest_window_px=WINDOW)
    for labels in look.labels.values():
        assert agreement(labels, at.sum(axis=1) % 2).ari == 1
