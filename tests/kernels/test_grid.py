"""What a pose means for the picture: turns, shifts and sizes as a viewer sees them (row 0 on top).

Pictures are drawn as a decoder draws them: canonical content, a function of coordinates, is asked
at transformed grid points.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.kernels.grid import affine_pose, pixel_grid, transform, upright

Array = NDArray[np.float64]
SIZE = 41
HALF = (SIZE - 1) / 2


def linear_map(angle: float, scale: float) -> Array:
    """The linear part that a rotation code and a scale code make."""
    cos, sin = math.cos(angle), math.sin(angle)
    return scale * np.array([[cos, -sin], [sin, cos]])


def letter(down: Array, left: Array) -> Array:
    """Two blobs without any symmetry, well inside the window."""
    first = np.exp(-((down + 0.3) ** 2 / 0.02 + (left - 0.1) ** 2 / 0.01))
    second = 0.7 * np.exp(-((down - 0.2) ** 2 / 0.01 + (left + 0.25) ** 2 / 0.02))
    return np.asarray(first + second)


def draw(
    linear: Array, offset: Array, content: Callable[[Array, Array], Array] = letter
) -> tuple[Array, dict[str, float]]:
    """A picture and the pose that is claimed for it."""
    grid = pixel_grid(SIZE, dtype=torch.float64)
    seen = transform(grid, torch.tensor(linear)[None], torch.tensor(offset)[None])[0].numpy()
    pose = affine_pose(linear[None], offset[None], size_px=SIZE)
    picture = content(seen[:, 0], seen[:, 1]).reshape(SIZE, SIZE)
    return picture, {name: float(value[0]) for name, value in pose.items()}


UPRIGHT, _ = draw(np.eye(2), np.zeros(2))


def test_coordinates_run_down_and_to_the_left_as_in_pyroved() -> None:
    grid = pixel_grid(5, dtype=torch.float64).reshape(5, 5, 2)
    assert grid[0, 0].tolist() == [-1.0, 1.0]
    assert grid[4, 0].tolist() == [1.0, 1.0]
    assert grid[0, 4].tolist() == [-1.0, -1.0]
    assert grid[2, 2].tolist() == [0.0, 0.0]


def test_no_transform_is_no_pose() -> None:
    _, pose = draw(np.eye(2), np.zeros(2))
    assert pose == {
        "angle_rad": 0.0,
        "shift_row_px": 0.0,
        "shift_col_px": 0.0,
        "magnification": 1.0,
    }


def test_a_quarter_turn_is_the_counter_clockwise_one_of_numpy() -> None:
    picture, pose = draw(linear_map(math.pi / 2, 1.0), np.zeros(2))
    assert pose["angle_rad"] == pytest.approx(math.pi / 2)
    np.testing.assert_allclose(picture, np.rot90(UPRIGHT), atol=1e-12)


@pytest.mark.parametrize("angle", [0.5, -1.1, 2.8])
def test_a_positive_angle_turns_the_content_counter_clockwise(angle: float) -> None:
    picture, pose = draw(linear_map(angle, 1.0), np.zeros(2))
    assert pose["angle_rad"] == pytest.approx(angle)
    turned = ndimage.rotate(UPRIGHT, math.degrees(pose["angle_rad"]), reshape=False)
    np.testing.assert_allclose(picture, turned, atol=0.01)


@pytest.mark.parametrize("angle", [3.5, -4.0, 7.0])
def test_angles_are_wrapped_to_one_turn(angle: float) -> None:
    _, pose = draw(linear_map(angle, 1.0), np.zeros(2))
    assert -math.pi < pose["angle_rad"] <= math.pi
    assert math.cos(pose["angle_rad"] - angle) == pytest.approx(1.0)


@pytest.mark.parametrize(("rows", "columns"), [(4, 0), (-3, 0), (0, 5), (0, -2), (3, -4)])
def test_shifts_move_the_content_down_and_to_the_right(rows: int, columns: int) -> None:
    picture, pose = draw(np.eye(2), np.array([-rows, columns]) / HALF)
    assert pose["shift_row_px"] == pytest.approx(rows)
    assert pose["shift_col_px"] == pytest.approx(columns)
    np.testing.assert_allclose(picture, np.roll(UPRIGHT, (rows, columns), (0, 1)), atol=1e-5)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_magnification_enlarges_the_content(factor: float) -> None:
    picture, pose = draw(linear_map(0.0, 1 / factor), np.zeros(2))
    assert pose["magnification"] == pytest.approx(factor)
    row, col = np.mgrid[:SIZE, :SIZE] - HALF
    looked_up = ndimage.map_coordinates(UPRIGHT, [HALF + row / factor, HALF + col / factor])
    np.testing.assert_allclose(picture, looked_up, atol=0.01)


@pytest.mark.parametrize(
    ("angle", "scale", "offset"),
    [
        (0.7, 1.0, (0.2, -0.1)),
        (-2.0, 1.2, (0.0, 0.0)),
        (1.3, 0.8, (-0.15, 0.25)),
        (-0.4, 1.1, (0.3, 0.2)),
        (3.0, 0.9, (0.1, 0.1)),
    ],
)
def test_a_spot_is_seen_magnified_turned_and_then_shifted(
    angle: float, scale: float, offset: tuple[float, float]
) -> None:
    """In pixels from the centre, x to the right and y up: R(angle) magnification (x, y) + shift."""
    down, left = -0.2, -0.3  # up and to the right

    def spot(d: Array, s: Array) -> Array:
        return np.asarray(np.exp(-((d - down) ** 2 + (s - left) ** 2) / 0.005))

    picture, pose = draw(linear_map(angle, scale), np.asarray(offset), spot)
    row, col = ndimage.center_of_mass(picture)
    x, y = -left * HALF * pose["magnification"], -down * HALF * pose["magnification"]
    cos, sin = math.cos(pose["angle_rad"]), math.sin(pose["angle_rad"])
    assert col - HALF == pytest.approx(cos * x - sin * y + pose["shift_col_px"], abs=0.02)
    assert HALF - row == pytest.approx(sin * x + cos * y - pose["shift_row_px"], abs=0.02)


def test_every_patch_is_transformed_by_its_own_map() -> None:
    rng = np.random.default_rng(0)
    linear, offset = torch.tensor(rng.normal(size=(4, 2, 2))), torch.tensor(rng.normal(size=(4, 2)))
    grid = pixel_grid(3, dtype=torch.float64)
    together = transform(grid, linear, offset)
    assert together.shape == (4, 9, 2)
    for i in range(4):
        expected = np.einsum("ab,pb->pa", linear[i].numpy(), grid.numpy()) + offset[i].numpy()
        np.testing.assert_allclose(together[i].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("angle", "scale", "offset"),
    [
        (0.7, 1.0, (0.0, 0.0)),
        (0.0, 1.0, (0.2, -0.1)),
        (0.0, 1.2, (0.0, 0.0)),
        (-2.1, 0.9, (0.1, 0.15)),
    ],
)
def test_a_picture_comes_back_without_its_pose(
    angle: float, scale: float, offset: tuple[float, float]
) -> None:
    linear, shift = linear_map(angle, scale), np.asarray(offset)
    posed, _ = draw(linear, shift)
    (back,) = upright(posed[None], linear[None], shift[None])
    known = np.isfinite(back)
    assert known.mean() > 0.7
    # Bilinear interpolation smooths blobs that are 3 px wide by up to an eighth of their bend.
    assert np.abs(back - UPRIGHT)[known].max() < 0.125
    assert np.abs(posed - UPRIGHT)[known].max() > 0.3


def test_upright_patches_are_themselves_and_corners_are_unknown_after_a_turn() -> None:
    patches = np.random.default_rng(0).random((3, 6, 6))
    linear = np.stack([np.eye(2), linear_map(math.pi / 2, 1.0), linear_map(math.pi / 4, 1.0)])
    same, quarter, eighth = upright(patches, linear, np.zeros((3, 2)))
    np.testing.assert_allclose(same, patches[0], atol=1e-6)
    # Content that is seen turned counter-clockwise comes back clockwise.
    np.testing.assert_allclose(quarter, np.rot90(patches[1], -1), atol=1e-6)
    unknown = np.isnan(eighth)
    assert unknown[[0, 0, 5, 5], [0, 5, 0, 5]].all()
    assert not unknown[1:5, 1:5].any()


def test_shifts_uncover_an_edge() -> None:
    patches = np.random.default_rng(0).random((1, 5, 5))
    # Content seen one pixel further down: the first row of the window shows what lies above.
    (back,) = upright(patches, np.eye(2)[None], np.asarray([[-0.5, 0.0]]))
    np.testing.assert_allclose(back[:4], patches[0, 1:], atol=1e-6)
    assert np.isnan(back[4]).all()
