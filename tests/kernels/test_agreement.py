"""Neighbours, angles and second looks: laws first, then numbers worked by hand."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.kernels.agreement import (
    alike_kappa,
    circular_agreement,
    circular_resultant,
    draw_angles,
    draw_shifts,
    equal_ring_pairs,
    has_room,
    ring_pairs,
    spatial_kappa,
)

Array = NDArray[np.float64]


def _brute(yx: Array, inner: float, outer: float) -> NDArray[np.bool_]:
    """Every ordered pair, by its squared distance."""
    squared = np.sum((yx[:, None] - yx[None]) ** 2, axis=-1)
    return np.asarray((squared > inner**2) & (squared <= outer**2))


def _places(kind: str, n: int = 400) -> Array:
    rng = np.random.default_rng(1)
    if kind == "anywhere":
        return rng.uniform(0, 40, (n, 2))
    # Whole pixels: many repeated points and many distances that are exactly 5 and 10.
    return rng.integers(0, 25, (n, 2)).astype(float)


# ---- pairs in a ring


@pytest.mark.parametrize("kind", ["anywhere", "whole pixels"])
@pytest.mark.parametrize("bounds", [(5.0, 10.0), (5.0, 8.75), (0.0, 3.0), (30.0, 31.0)])
def test_pairs_are_those_of_all_distances(kind: str, bounds: tuple[float, float]) -> None:
    yx = _places(kind)
    assert ring_pairs(yx, *bounds) == _brute(yx, *bounds).sum() > 0


def test_the_bounds_are_tried_by_points_on_them() -> None:
    yx = _places("whole pixels")
    squared = np.sum((yx[:, None] - yx[None]) ** 2, axis=-1)
    assert (squared == 25).sum() > 100
    assert (squared == 100).sum() > 100


@pytest.mark.parametrize("kind", ["anywhere", "whole pixels"])
def test_equal_pairs_are_those_of_all_distances(kind: str) -> None:
    yx = _places(kind)
    labels = np.random.default_rng(2).integers(0, 4, len(yx))
    same = labels[:, None] == labels[None]
    assert equal_ring_pairs(labels, yx, 5, 10) == (_brute(yx, 5, 10) & same).sum() > 0


def test_the_inner_bound_is_out_and_the_outer_one_in() -> None:
    line = np.array([(0.0, 0.0), (0.0, 3.0), (0.0, 7.0)])  # distances 3, 4 and 7
    assert ring_pairs(line, 3, 7) == 4
    assert ring_pairs(line, 2.999, 6.999) == 4
    assert ring_pairs(line, 4, 7) == 2


@pytest.mark.parametrize(("factor", "window", "reach"), [(1.4, 45, 63), (2.3, 50, 115)])
def test_a_rounded_product_loses_no_pair(factor: float, window: int, reach: int) -> None:
    assert factor * window < reach  # the case that is tried
    pair = np.array([(0.0, 0.0), (float(reach), 0.0)])
    assert ring_pairs(pair, window, factor * window) == 2
    assert ring_pairs(pair, factor * window, 2 * reach) == 0  # nor is it counted twice


def test_no_points_and_one_point_have_no_pairs() -> None:
    assert ring_pairs(np.empty((0, 2)), 1, 2) == 0
    assert ring_pairs([(3.0, 4.0)], 1, 2) == 0


# ---- kappa

T14_YX = np.array(list(product((0.0, 30.0), (0.0, 30.0, 60.0))))
T14_LABELS = np.array([0, 0, 1, 0, 1, 1])


def test_T14_pairs_and_equal_pairs() -> None:
    assert ring_pairs(T14_YX, 26, 45) == 22
    assert equal_ring_pairs(T14_LABELS, T14_YX, 26, 45) == 12  # p_o = 12 / 22 = .545455


def test_T14_kappa() -> None:
    assert spatial_kappa(T14_LABELS, T14_YX, 26, 45) == pytest.approx(0.090909, abs=1e-6)


def test_names_of_labels_order_of_points_and_place_do_not_matter() -> None:
    yx = _places("whole pixels")
    labels = (yx[:, 0] > 9).astype(int) + (yx[:, 1] > 14)
    first = spatial_kappa(labels, yx, 5, 10)
    assert first is not None
    assert 0.05 < first < 0.95
    order = np.random.default_rng(3).permutation(len(yx))
    assert spatial_kappa(np.array([7, 2, 5])[labels], yx, 5, 10) == pytest.approx(first, rel=1e-12)
    assert spatial_kappa(labels[order], yx[order], 5, 10) == pytest.approx(first, rel=1e-12)
    assert spatial_kappa(labels, yx + 1000, 5, 10) == pytest.approx(first, rel=1e-12)


def test_order_in_space_is_1_chance_is_0_and_alternation_is_negative() -> None:
    far = np.concatenate([_places("anywhere"), _places("anywhere") + 1000])
    assert spatial_kappa(np.repeat([0, 1], 400), far, 5, 10) == 1.0
    by_chance = spatial_kappa(np.random.default_rng(4).integers(0, 5, 800), far, 5, 10)
    assert by_chance == pytest.approx(0, abs=0.02)
    board = np.array(list(product(range(12), range(12))), dtype=float)
    black = board.sum(axis=1) % 2
    assert spatial_kappa(black, board, 0, 1) == -1.0


def test_one_label_agrees_by_chance_only() -> None:
    assert spatial_kappa(np.zeros(6), T14_YX, 26, 45) == 0.0


def test_too_few_pairs_give_no_number() -> None:
    assert spatial_kappa(T14_LABELS, T14_YX, 26, 45, least_pairs=23) is None
    assert spatial_kappa(T14_LABELS, T14_YX, 26, 45, least_pairs=22) is not None
    assert spatial_kappa(T14_LABELS, T14_YX, 300, 400, least_pairs=0) is None
    assert spatial_kappa([], np.empty((0, 2)), 1, 2) is None


# ---- angles

THETA = np.array([0.1, 1, 2.5, -2, 3])
PHI = np.array([0.4, 1.2, 2.9, -1.6, -2.9])


@pytest.mark.parametrize(("order", "value"), [(1, 0.996982), (2, 0.987968)])
def test_T15_circular_resultant(order: int, value: float) -> None:
    assert circular_resultant(PHI, THETA, order=order) == pytest.approx(value, abs=1e-6)
    assert circular_agreement(PHI, THETA, order=order) == pytest.approx(value, abs=1e-6)


def test_zero_and_sense_of_an_angle_do_not_matter() -> None:
    angle = np.random.default_rng(5).uniform(-math.pi, math.pi, 50)
    assert circular_resultant(angle + 0.7, angle) == pytest.approx(1)
    assert circular_agreement(0.7 - angle, angle) == pytest.approx(1)
    assert circular_resultant(0.7 - angle, angle) < 0.5


def test_the_order_is_the_symmetry() -> None:
    angle = np.random.default_rng(6).uniform(-math.pi, math.pi, 60)
    thirds = angle + 2 * math.pi / 3 * np.arange(60)
    assert circular_agreement(thirds, angle, order=3) == pytest.approx(1)
    assert circular_agreement(thirds, angle, order=1) < 0.5
    assert circular_resultant([0, math.pi], [0, 0], order=1) == pytest.approx(0, abs=1e-12)


# ---- second looks

SHAPE = (60, 70)


def _turned_corners(yx: Array, size: int, angle: Array) -> Array:
    """(n, 4, 2) places of the corner pixels of turned windows, in complex numbers."""
    first = np.ceil(yx - 0.5) - size // 2
    centre = first + (size - 1) / 2
    corners = np.array([complex(r, c) for r, c in product((-1, 1), repeat=2)]) * (size - 1) / 2
    turned = corners * np.exp(1j * angle)[:, None]
    return np.asarray(centre[:, None] + np.stack([turned.real, turned.imag], axis=-1))


@pytest.mark.parametrize("size", [12, 13])
def test_there_is_room_if_all_corners_are_in_the_image(size: int) -> None:
    rng = np.random.default_rng(7)
    yx, angle = rng.uniform(0, 65, (400, 2)), rng.uniform(0, 2 * math.pi, 400)
    corners = _turned_corners(yx, size, angle)
    expected = ((corners >= 0) & (corners <= np.subtract(SHAPE, 1))).all(axis=(1, 2))
    assert 50 < expected.sum() < 350
    np.testing.assert_array_equal(has_room(yx, size, SHAPE, angle_rad=angle), expected)


def test_what_holds_the_largest_window_holds_every_smaller_one() -> None:
    rng = np.random.default_rng(8)
    yx, angle = rng.uniform(0, 60, (2000, 2)), rng.uniform(0, 2 * math.pi, 2000)
    for pose in ({"angle_rad": angle}, {"shift_px": rng.uniform(-1, 1, (2000, 2))}):
        for size in (12, 13):
            large = has_room(yx, size, SHAPE, **pose)
            for smaller in range(3, size):
                assert has_room(yx, smaller, SHAPE, **pose)[large].all()


def test_a_quarter_turn_and_no_pose_need_no_extra_room() -> None:
    corner = np.array([(6.0, 6.0), (53.0, 63.0)])
    assert has_room(corner, 13, SHAPE).all()
    for quarters in range(5):
        angle = np.full(2, quarters * math.pi / 2)
        assert has_room(corner, 13, SHAPE, angle_rad=angle).all()
    assert not has_room(corner, 13, SHAPE, angle_rad=np.full(2, 0.1)).any()


def test_a_shift_needs_room_on_its_side() -> None:
    corner = np.array([(6.0, 6.0)])
    assert has_room(corner, 13, SHAPE, shift_px=np.array([(0.5, 0.5)])).all()
    assert not has_room(corner, 13, SHAPE, shift_px=np.array([(0.5, -0.5)])).any()


def test_poses_depend_on_the_study_only() -> None:
    angles, shifts = draw_angles(2000, 3), draw_shifts(2000, 3)
    np.testing.assert_array_equal(angles, draw_angles(2000, 3))
    np.testing.assert_array_equal(shifts, draw_shifts(2000, 3))
    assert not np.array_equal(angles, draw_angles(2000, 4))
    assert not np.array_equal(shifts, draw_shifts(2000, 4))


def test_poses_are_uniform() -> None:
    angles, shifts = draw_angles(2000, 3), draw_shifts(2000, 3)
    assert angles.shape == (2000,)
    assert shifts.shape == (2000, 2)
    assert 0 <= angles.min() < 0.02 < 6.26 < angles.max() < 2 * math.pi
    assert -1 <= shifts.min() < -0.99 < 0.99 < shifts.max() <= 1
    assert np.abs(np.mean(np.exp(1j * angles))) < 0.05
    assert np.abs(shifts.mean(axis=0)).max() < 0.05


# ---- those that look alike


def test_kappa_of_look_alikes_by_hand() -> None:
    """6 pairs, 4 of them equal; shares 2/5 and 3/5: (4/6 - 13/25) / (12/25) = 11/36."""
    alike = [[1, 4], [0, -1], [3, 4], [0, -1], [-1, -1]]
    assert alike_kappa([0, 0, 1, 1, 1], alike) == pytest.approx((4 / 6 - 13 / 25) / (12 / 25))


def test_kappa_of_look_alikes_is_that_of_the_whole_graph() -> None:
    rng = np.random.default_rng(3)
    labels, alike = rng.integers(0, 4, 500), rng.integers(-1, 500, (500, 6))
    pairs = [(i, j) for i, others in enumerate(alike) for j in others if j >= 0]
    observed = np.mean([labels[i] == labels[j] for i, j in pairs])
    expected = sum(np.mean(labels == k) ** 2 for k in range(4))
    found = alike_kappa(labels, alike)
    assert found is not None
    assert found == pytest.approx((observed - expected) / (1 - expected))
    assert abs(found) < 0.05, "chance"


@pytest.mark.parametrize(
    ("labels", "alike", "expected"),
    [
        ([0, 0, 1, 1], [[1], [0], [3], [2]], 1.0),
        ([0, 0, 1, 1], [[2], [3], [0], [1]], -1.0),
        ([7, 7, 7], [[1], [2], [0]], 0.0),  # one component agrees with everything
        ([0, 1], [[-1], [-1]], None),
        ([], np.zeros((0, 3), dtype=int), None),
    ],
)
def test_bounds_of_the_kappa_of_look_alikes(
    labels: list[int], alike: list[list[int]], expected: float | None
) -> None:
    assert alike_kappa(labels, alike) == expected


def test_names_of_components_do_not_matter_to_look_alikes() -> None:
    rng = np.random.default_rng(4)
    labels, alike = rng.integers(0, 4, 100), rng.integers(0, 100, (100, 3))
    assert alike_kappa(9 - labels, alike) == pytest.approx(alike_kappa(labels, alike))
