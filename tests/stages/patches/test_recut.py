"""The same windows a second time: not moved they are the same, moved they are where they should."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.core.types import KeyPoints
from vaeopt.stages.patches import PatchSettings, cut, recut
from vaeopt.testing import example_micrograph

MICROGRAPH = example_micrograph()
_RNG = np.random.default_rng(0)
# Fractions of a pixel, and halves that are rounded down.
_YX = np.concatenate([_RNG.uniform(20, 44, (20, 2)), [(30.5, 25.5), (31.0, 26.0), (8.0, 55.0)]])
POINTS = KeyPoints(yx_px=_YX, strength=np.ones(len(_YX)))
N = len(POINTS)

Array = NDArray[np.float64]


def _cut(size: int) -> NDArray[np.floating]:
    return cut(PatchSettings(size_px=size), MICROGRAPH, POINTS).pixels


@pytest.mark.parametrize("size", [3, 8, 13])
@pytest.mark.parametrize("angle", [None, np.zeros(N)])
@pytest.mark.parametrize("shift", [None, np.zeros((N, 2))])
def test_a_window_that_is_not_moved_is_the_same(
    size: int, angle: Array | None, shift: Array | None
) -> None:
    patches, inside = recut(
        MICROGRAPH, POINTS, size, angle_rad=angle, shift_px=shift, largest_window_px=13
    )
    assert inside.all()
    assert patches.pixels.dtype == np.float32
    np.testing.assert_array_equal(patches.pixels, _cut(size))
    np.testing.assert_array_equal(patches.keypoint_index, np.arange(N))


@pytest.mark.parametrize("size", [7, 8])
def test_a_tiny_move_changes_little(size: int) -> None:
    for pose in ({"angle_rad": np.full(N, 1e-9)}, {"shift_px": np.full((N, 2), 1e-9)}):
        patches, _ = recut(MICROGRAPH, POINTS, size, largest_window_px=8, **pose)
        np.testing.assert_allclose(patches.pixels, _cut(size), atol=1e-6)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_turns_the_pixels(size: int, quarters: int) -> None:
    angle = np.full(N, quarters * math.pi / 2)
    patches, _ = recut(MICROGRAPH, POINTS, size, angle_rad=angle, largest_window_px=8)
    # The window turns counter-clockwise, so what it shows turns clockwise.
    expected = np.rot90(_cut(size), -quarters, axes=(1, 2))
    np.testing.assert_allclose(patches.pixels, expected, atol=1e-6)
    assert np.abs(expected - _cut(size)).max() > 0.1


@pytest.mark.parametrize("size", [7, 8])
def test_a_shift_by_a_pixel_shows_the_next_pixels(size: int) -> None:
    shift = np.tile([1.0, -1.0], (N, 1))
    patches, _ = recut(MICROGRAPH, POINTS, size, shift_px=shift, largest_window_px=8)
    moved = replace(POINTS, yx_px=POINTS.yx_px + shift)
    expected = cut(PatchSettings(size_px=size), MICROGRAPH, moved).pixels
    np.testing.assert_allclose(patches.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("size", [7, 8])
def test_pixels_are_those_of_a_smooth_picture_at_the_new_places(size: int) -> None:
    def picture(row: Array, col: Array) -> Array:
        return 0.5 + 0.2 * np.sin(row / 5) + 0.2 * np.cos(col / 7 + row / 9)

    row, col = np.mgrid[:64, :64].astype(float)
    smooth = replace(MICROGRAPH, pixels=picture(row, col).astype(np.float32))
    point = KeyPoints(yx_px=np.array([(30.0, 32.0)]), strength=np.ones(1))
    patches, _ = recut(
        smooth,
        point,
        size,
        angle_rad=np.array([0.6]),
        shift_px=np.array([(0.3, -0.4)]),
        largest_window_px=8,
    )
    centre = np.array([30.0, 32.0]) - (0 if size % 2 else 0.5) + [0.3, -0.4]
    offset = np.arange(size) - (size - 1) / 2
    for i, down in enumerate(offset):
        for j, right in enumerate(offset):
            # x to the right and y upwards, turned counter-clockwise
            turned = complex(right, -down) * np.exp(0.6j)
            there = picture(centre[0] - turned.imag, centre[1] + turned.real)
            assert patches.pixels[0, i, j] == pytest.approx(there, abs=2e-4)


def test_each_window_has_its_own_pose() -> None:
    angle = np.where(np.arange(N) % 2, 0.5, 0.0)
    patches, _ = recut(MICROGRAPH, POINTS, 7, angle_rad=angle, largest_window_px=7)
    same = np.array([np.array_equal(a, b) for a, b in zip(patches.pixels, _cut(7), strict=True)])
    np.testing.assert_array_equal(same, np.arange(N) % 2 == 0)


def test_the_same_key_points_count_for_every_window() -> None:
    yx = np.random.default_rng(1).uniform(7, 56, (200, 2))
    points = KeyPoints(yx_px=yx, strength=np.ones(200))
    angle = np.random.default_rng(2).uniform(0, 2 * math.pi, 200)
    _, inside = recut(MICROGRAPH, points, 14, angle_rad=angle, largest_window_px=14)
    assert 100 < inside.sum() < 200
    for size in (3, 6, 13):
        patches, again = recut(MICROGRAPH, points, size, angle_rad=angle, largest_window_px=14)
        np.testing.assert_array_equal(again, inside)
        np.testing.assert_array_equal(patches.pixels.any(axis=(1, 2)), inside)
        assert patches.size_px == size


def test_a_key_point_without_room_leaves_the_others_alone() -> None:
    yx = np.array([(6.0, 6.0), (30.0, 30.0)])
    points = KeyPoints(yx_px=yx, strength=np.ones(2))
    both, inside = recut(MICROGRAPH, points, 13, angle_rad=np.full(2, 0.5), largest_window_px=13)
    assert inside.tolist() == [False, True]
    one = KeyPoints(yx_px=yx[1:], strength=np.ones(1))
    alone, _ = recut(MICROGRAPH, one, 13, angle_rad=np.full(1, 0.5), largest_window_px=13)
    np.testing.assert_array_equal(both.pixels[1:], alone.pixels)
    assert not both.pixels[0].any()
    assert both.keypoint_index.tolist() == [0, 1]


def test_no_room_at_all_is_not_an_error() -> None:
    corner = KeyPoints(yx_px=np.array([(6.0, 6.0)]), strength=np.ones(1))
    patches, inside = recut(MICROGRAPH, corner, 13, angle_rad=np.array([0.5]), largest_window_px=13)
    assert not inside.any()
    assert patches.pixels.shape == (1, 13, 13)


def test_the_spline_does_not_leave_the_range() -> None:
    noise = np.random.default_rng(3).integers(0, 2, (64, 64)).astype(np.float32)
    binary = replace(MICROGRAPH, pixels=noise)
    patches, _ = recut(binary, POINTS, 13, angle_rad=np.full(N, 0.4), largest_window_px=13)
    assert patches.pixels.min() == 0.0
    assert patches.pixels.max() == 1.0


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    angle = np.linspace(0, 6, N)
    whole, _ = recut(MICROGRAPH, POINTS, 7, angle_rad=angle, largest_window_px=7)
    module = sys.modules["vaeopt.stages.patches.recut"]  # the package has a function of that name
    monkeypatch.setattr(module, "_BLOCK_PIXELS", 3 * 49)
    blocks, _ = recut(MICROGRAPH, POINTS, 7, angle_rad=angle, largest_window_px=7)
    np.testing.assert_array_equal(blocks.pixels, whole.pixels)
