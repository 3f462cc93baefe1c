"""Detectors: where they look, how far apart points stay, and what a bad table says."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from vaeopt.core.errors import DataError, SettingsError
from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.kernels.crop import fits
from vaeopt.stages.keypoints import KeypointDetector, detect
from vaeopt.stages.keypoints.base import thin
from vaeopt.stages.keypoints.canny import Canny
from vaeopt.stages.keypoints.grid import Grid
from vaeopt.stages.keypoints.local_maxima import LocalMaxima
from vaeopt.stages.keypoints.table import Table

Array = NDArray[np.float64]
HERE = Path()


def _micrograph(pixels: Array) -> Micrograph:
    return Micrograph(
        name="a",
        pixels=pixels.astype(np.float32),
        pixel_size_nm=None,
        sha256="",
        scaling=(0.0, 1.0),
    )


def _disc(size: int = 64, radius: float = 20.0) -> Array:
    """Bright on dark, its right half brighter than its left one."""
    row, col = np.mgrid[:size, :size] - (size - 1) / 2
    return np.where(np.hypot(row, col) < radius, np.where(col > 0, 1.0, 0.7), 0.0)


SPOTS = np.array([(10, 12), (14, 40), (33, 25), (50, 50), (52, 12)])
HEIGHTS = np.array([1.0, 0.5, 0.9, 0.8, 0.7])


def _spots(size: int = 64) -> Array:
    row, col = np.mgrid[:size, :size]
    bumps = [
        h * np.exp(-((row - y) ** 2 + (col - x) ** 2) / 8)
        for (y, x), h in zip(SPOTS, HEIGHTS, strict=True)
    ]
    return np.asarray(np.sum(bumps, axis=0))


DISC, SPOTTED = _micrograph(_disc()), _micrograph(_spots())
FLAT = _micrograph(np.full((40, 40), 0.5))


# ---- what all detectors share


@pytest.mark.parametrize("window", [5, 8, 13, 20])
@pytest.mark.parametrize(
    "detector", [Grid(spacing_px=3), Canny(), LocalMaxima(threshold=0.0)], ids=lambda d: d.kind
)
def test_the_largest_window_fits_round_every_key_point(
    detector: KeypointDetector, window: int
) -> None:
    found = detect(detector, DISC, largest_window_px=window)
    assert len(found) > 0
    assert fits(found.yx_px, window, DISC.pixels.shape).all()


def test_only_points_without_room_are_left_out() -> None:
    everywhere = Grid(spacing_px=1).find(DISC, folder=HERE)
    room = fits(everywhere.yx_px, 13, DISC.pixels.shape)
    found = detect(Grid(spacing_px=1), DISC, largest_window_px=13)
    np.testing.assert_array_equal(found.yx_px, everywhere.yx_px[room])
    assert len(found) == (64 - 12) ** 2


def test_strengths_stay_with_their_points() -> None:
    found = detect(LocalMaxima(sigma_px=0), SPOTTED, largest_window_px=23)
    np.testing.assert_array_equal(found.yx_px, SPOTS[[2, 3, 4, 1]])  # no room for the strongest
    row, col = found.yx_px.astype(int).T
    np.testing.assert_allclose(found.strength, SPOTTED.pixels[row, col], atol=1e-3)


def test_a_window_larger_than_the_image_is_one_line() -> None:
    expected = (
        r"^patches\.size_px: the largest window \(41 px\) does not fit the image \(40 x 40 px\)"
    )
    with pytest.raises(DataError, match=expected):
        detect(Grid(), FLAT, largest_window_px=41)


def test_no_key_points_are_one_line() -> None:
    expected = r"^workflow\.keypoints: the detector 'canny' found 0 key points"
    with pytest.raises(DataError, match=expected):
        detect(Canny(), FLAT, largest_window_px=5)


# ---- thinning

CROWD = np.random.default_rng(0).uniform(0, 60, (400, 2))
STRENGTH = np.random.default_rng(1).random(400)


def test_thinned_points_are_at_least_the_spacing_apart() -> None:
    found = thin(CROWD, STRENGTH, 5.0)
    assert pdist(found.yx_px).min() >= 5.0
    assert 20 < len(found) < 200


def test_every_point_that_is_dropped_is_close_to_a_stronger_one() -> None:
    found = thin(CROWD, STRENGTH, 5.0)
    kept = {tuple(p) for p in found.yx_px}
    for point, strength in zip(CROWD, STRENGTH, strict=True):
        if tuple(point) not in kept:
            close = np.linalg.norm(found.yx_px - point, axis=1) < 5.0
            assert found.strength[close].max() > strength


def test_thinned_points_come_strongest_first() -> None:
    assert (np.diff(thin(CROWD, STRENGTH, 5.0).strength) < 0).all()


def test_points_at_exactly_the_spacing_stay() -> None:
    line = np.array([(0.0, 0.3), (0.0, 5.3), (0.0, 10.3)])
    assert len(thin(line, np.ones(3), 5.0)) == 3
    assert len(thin(line, np.ones(3), 5.001)) == 2


def test_ties_go_to_the_earlier_point() -> None:
    found = thin(np.array([(0.0, 0.0), (0.0, 1.0)]), np.ones(2), 2.0)
    assert found.yx_px.tolist() == [[0.0, 0.0]]


def test_no_spacing_keeps_everything_and_nothing_stays_nothing() -> None:
    assert len(thin(CROWD, STRENGTH, 0.0)) == 400
    assert len(thin(np.zeros((0, 2)), np.zeros(0), 5.0)) == 0


# ---- grid


@pytest.mark.parametrize("spacing", [1, 5, 9])
def test_the_grid_is_regular_centred_and_in_reading_order(spacing: int) -> None:
    found = Grid(spacing_px=spacing).find(_micrograph(_disc(50)), folder=HERE)
    rows, columns = np.unique(found.yx_px[:, 0]), np.unique(found.yx_px[:, 1])
    assert (np.diff(rows) == spacing).all()
    assert abs(rows[0] - (49 - rows[-1])) <= 1
    assert rows[0] < spacing
    expected = [(r, c) for r in rows for c in columns]
    assert found.yx_px.tolist() == [list(p) for p in expected]
    assert (found.strength == 1).all()


# ---- Canny


def test_canny_finds_the_wall_of_a_domain() -> None:
    found = Canny(spacing_px=0.0, sigma_px=2.0).find(DISC, folder=HERE)
    row, col = (found.yx_px - 31.5).T
    on_circle = np.abs(np.hypot(row, col) - 20) < 1.5
    on_step = (np.abs(col) < 1.5) & (np.abs(row) < 21)
    assert (on_circle | on_step).all()
    angles = np.arctan2(row, col)[on_circle]
    assert np.diff(np.sort(angles)).max() < 0.2  # all round it


@pytest.mark.parametrize("spacing", [3.0, 5.0, 9.5])
def test_canny_respects_the_spacing_and_goes_by_strength(spacing: float) -> None:
    found = Canny(spacing_px=spacing).find(DISC, folder=HERE)
    assert pdist(found.yx_px).min() >= spacing
    assert (np.diff(found.strength) <= 0).all()
    assert found.yx_px[0, 1] > 31.5  # the wall of the brighter half is the steeper one


def test_canny_repeats_itself() -> None:
    first, again = (Canny().find(DISC, folder=HERE) for _ in range(2))
    np.testing.assert_array_equal(first.yx_px, again.yx_px)
    np.testing.assert_array_equal(first.strength, again.strength)


def test_canny_drops_walls_below_its_threshold() -> None:
    faint = _micrograph(0.05 * _disc())
    assert len(Canny().find(faint, folder=HERE)) == 0
    assert len(Canny(low_threshold=0.0, high_threshold=0.01).find(faint, folder=HERE)) > 0


def test_cannys_thresholds_must_rise() -> None:
    with pytest.raises(SettingsError, match="low_threshold must not exceed high_threshold"):
        Canny(low_threshold=0.3, high_threshold=0.2)


# ---- local maxima


@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_spots_are_found_strongest_first(polarity: str) -> None:
    bright = polarity == "bright"
    image = SPOTTED if bright else _micrograph(1 - _spots())
    detector = LocalMaxima(sigma_px=1, polarity="bright" if bright else "dark")
    found = detector.find(image, folder=HERE)
    np.testing.assert_array_equal(found.yx_px, SPOTS[np.argsort(-HEIGHTS)])
    assert (np.diff(found.strength) < 0).all()


def test_weak_spots_are_left_out() -> None:
    found = LocalMaxima(sigma_px=0, threshold=0.75).find(SPOTTED, folder=HERE)
    np.testing.assert_array_equal(found.yx_px, SPOTS[[0, 2, 3]])


@pytest.mark.parametrize("spacing", [2, 5, 8])
def test_spots_keep_their_spacing_along_rows_or_columns(spacing: int) -> None:
    noise = _micrograph(np.random.default_rng(0).random((60, 60)))
    found = LocalMaxima(sigma_px=0.5, spacing_px=spacing, threshold=0.0).find(noise, folder=HERE)
    assert len(found) > 5
    assert pdist(found.yx_px, "chebyshev").min() >= spacing


def test_local_maxima_repeat_themselves() -> None:
    noise = _micrograph(np.random.default_rng(0).random((60, 60)))
    first, again = (LocalMaxima().find(noise, folder=HERE) for _ in range(2))
    np.testing.assert_array_equal(first.yx_px, again.yx_px)


# ---- CSV


def _table(folder: Path, text: str, **settings: str) -> KeyPoints:
    (folder / "points.csv").write_text(text)
    return Table(path="points.csv", **settings).find(FLAT, folder=folder)


def _refused(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        _table(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("workflow.keypoints.path: ")
    return message


def test_a_table_gives_its_rows_in_their_order(tmp_path: Path) -> None:
    found = _table(tmp_path, "name,col_px,row_px\na,12,30.5\nb,3,7\n")
    assert found.yx_px.tolist() == [[30.5, 12.0], [7.0, 3.0]]
    assert found.strength.tolist() == [1.0, 1.0]


def test_columns_can_be_named(tmp_path: Path) -> None:
    found = _table(tmp_path, "x,y\n12,30\n", row_column="y", col_column="x")
    assert found.yx_px.tolist() == [[30.0, 12.0]]


def test_a_missing_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^workflow\.keypoints\.path: 'none\.csv' cannot be read"):
        Table(path="none.csv").find(FLAT, folder=tmp_path)


def test_a_missing_column_lists_those_that_are_there(tmp_path: Path) -> None:
    assert "no column 'row_px' (it has: y, col_px)" in _refused(tmp_path, "y,col_px\n1,2\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "cannot be read as CSV"),
        ('row_px,col_px\n"1,2\n3,4\n', "cannot be read as CSV"),
        ("row_px,col_px\n1,two\n", "positions must be numbers"),
        ("row_px,col_px\n1,40\n2,3\n", "1 of 2 positions lie outside the image (40 x 40 px)"),
        ("row_px,col_px\n-1,4\n-2,3\n", "2 of 2 positions lie outside the image"),
        ("row_px,col_px\n1,\n2,3\n", "holds empty or infinite positions"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, part: str) -> None:
    assert part in _refused(tmp_path, text)
