"""The instrument: drift moves picture and truth alike, streaks and offsets are what they say."""

import numpy as np
import pytest

from vaeopt.datasets.instrument import Drift, measure, wear

SIZE = 160


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_drift_nothing_moves() -> None:
    drift = Drift(SIZE, 0.0, rng())
    scene = rng(1).random((SIZE, SIZE))
    assert drift.margin_px == 0
    np.testing.assert_allclose(drift.seen(scene), scene, atol=1e-9)
    np.testing.assert_allclose(drift.directions(0.3 + 0 * scene), 0.3, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_drift_stays_inside_its_margin(seed: int) -> None:
    drift = Drift(SIZE, 4.0, rng(seed))
    scene = np.indices((SIZE + 2 * drift.margin_px,) * 2).astype(float)
    rows, columns = (drift.seen(plane) for plane in scene)
    last = SIZE + 2 * drift.margin_px - 1
    assert 0 <= rows.min() < rows.max() <= last
    assert 0 <= columns.min() < columns.max() <= last


def test_drift_shifts_whole_rows_and_keeps_their_order() -> None:
    drift = Drift(SIZE, 4.0, rng(2))
    rows, columns = (
        drift.seen(plane) for plane in np.indices((SIZE + 2 * drift.margin_px,) * 2).astype(float)
    )
    np.testing.assert_allclose(np.ptp(rows, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(columns, axis=1), 1, atol=2e-3)
    assert (np.diff(rows[:, 0]) > 0.3).all()  # no row is seen twice
    shift = columns[:, 0] - drift.margin_px
    assert 2 < np.ptp(shift) < 24
    assert np.abs(np.diff(shift)).max() < 0.6  # smooth from row to row


@pytest.mark.parametrize("angle_rad", [0.6, 0.9, 1.6, 2.5])
def test_directions_are_those_of_lines_in_the_picture(angle_rad: float) -> None:
    drift = Drift(SIZE, 6.0, rng(3))
    y, x = np.indices((SIZE + 2 * drift.margin_px,) * 2).astype(float)
    across = drift.seen(y * np.cos(angle_rad) - x * np.sin(angle_rad))
    down, right = np.gradient(across)
    seen_rad = np.arctan2(-right, down)  # grows in the direction angle + pi / 2
    told_rad = drift.directions(np.full(y.shape, angle_rad))
    turn = np.angle(np.exp(1j * (seen_rad - told_rad)))[2:-2, 2:-2]
    assert np.abs(turn).max() < np.deg2rad(1)
    assert np.ptp(told_rad) > np.deg2rad(3)  # there was something to correct


def test_labels_move_with_what_is_seen() -> None:
    drift = Drift(SIZE, 5.0, rng(4))
    size = SIZE + 2 * drift.margin_px
    labels = (np.indices((size, size)).sum(axis=0) // 20 % 2).astype(np.int16)
    seen = drift.seen(labels.astype(float))
    assert drift.labels(labels).dtype == np.int16
    assert ((seen > 0.5) == drift.labels(labels)).mean() > 0.97


def test_streaks_are_parts_of_rows_that_gain_or_lose() -> None:
    gain = wear(np.ones((200, 100)), 30, rng(5))
    touched = gain != 1
    assert 20 <= touched.any(axis=1).sum() <= 60  # one row or two each; some fall together
    assert not touched.any(axis=0).all() or touched.mean() < 0.3
    assert 0.35 <= gain.min() < 0.8
    assert 1.2 <= gain.max() <= 1.5


def test_no_streaks_are_none() -> None:
    amplitude = rng(6).random((20, 30))
    assert np.array_equal(wear(amplitude, 0, rng()), amplitude)


def test_an_offset_brightens_up_and_darkens_down() -> None:
    response = np.repeat([[0.8], [-0.8]], 2, axis=1)
    amplitude = measure(response, noise=0, blur_px=0, rng=rng(), offset=0.1)
    np.testing.assert_allclose(amplitude[0], np.hypot(0.9, 0.03))
    np.testing.assert_allclose(amplitude[1], np.hypot(0.7, 0.03))
