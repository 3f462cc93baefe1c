"""Presets of the rendered domain scan: what each adds is in the picture, and the truth with it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from vaeopt.core.errors import DataError
from vaeopt.datasets import AMBIGUOUS, RenderedScan
from vaeopt.datasets.domains import LENGTHS_PX, PRESETS, SMALLEST_PX, SYMMETRY, render_domains

STRIPES, NEEDLES, HERRINGBONE, WALLS = range(4)
SEEDS = (0, 1, 2)

Array = NDArray[Any]


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def hard(request: pytest.FixtureRequest) -> RenderedScan:
    """Of the hard preset, but without noise and without a tip; streaks are there."""
    return render_domains(seed=request.param, difficulty="hard", noise=0, blur_px=0)


def stripe_angle_rad(pixels: Array, scale_px: float) -> Array:
    """Direction of least change, from the structure tensor averaged over ``scale_px``."""
    down, right = np.gradient(ndimage.gaussian_filter(pixels.astype(float), 1.0))
    yy, yx, xx = (
        ndimage.gaussian_filter(a * b, scale_px)
        for a, b in ((down, down), (down, right), (right, right))
    )
    return np.asarray(0.5 * np.arctan2(2 * yx, xx - yy) + np.pi / 2)


def apart_rad(first: Array, second: Array, symmetry: int) -> Array:
    """Distance of two angles that are the same after a turn by ``2 pi / symmetry``."""
    turn = np.exp(1j * symmetry * (first - second))
    return np.abs(np.angle(turn)) / symmetry


def kappa_apart(scan: RenderedScan, nearest_px: float, furthest_px: float) -> float:
    """Agreement of the classes of places that far apart, beyond chance: 0 if mixed at random."""
    classes = scan.classes_at(scan.yx_px)
    yx, classes = scan.yx_px[classes != AMBIGUOUS], classes[classes != AMBIGUOUS]
    first, second = cKDTree(yx).query_pairs(furthest_px, output_type="ndarray").T
    far = np.hypot(*(yx[first] - yx[second]).T) > nearest_px
    first, second = classes[first[far]], classes[second[far]]
    share = np.bincount(np.concatenate([first, second])) / (2 * len(first))
    expected = float((share**2).sum())
    return (float((first == second).mean()) - expected) / (1 - expected)


def test_medium_is_what_the_scan_was_before_it_had_presets() -> None:
    medium = render_domains(seed=3)
    assert medium.difficulty == "medium"
    assert np.array_equal(medium.pixels, render_domains(seed=3, noise=0.04, blur_px=1.2).pixels)
    assert medium.lengths_px == dict(LENGTHS_PX)
    assert medium.symmetry == SYMMETRY


@pytest.mark.parametrize("difficulty", PRESETS)
def test_the_truth_does_not_depend_on_noise_and_tip(difficulty: str) -> None:
    first = render_domains(seed=2, size_px=SMALLEST_PX, difficulty=difficulty)
    second = render_domains(
        seed=2, size_px=SMALLEST_PX, difficulty=difficulty, noise=0.3, blur_px=3
    )
    assert np.array_equal(first.class_map, second.class_map)
    assert np.array_equal(first.angle_rad, second.angle_rad, equal_nan=True)
    assert not np.array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("difficulty", PRESETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_smallest_scan_holds_all_classes(difficulty: str, seed: int) -> None:
    scan = render_domains(seed=seed, size_px=SMALLEST_PX, difficulty=difficulty)
    assert set(np.unique(scan.class_map)) == {AMBIGUOUS, STRIPES, NEEDLES, HERRINGBONE, WALLS}


@pytest.mark.parametrize(("kind", "scale_px"), [(STRIPES, 6.0), (NEEDLES, 4.0)])
def test_drift_turns_the_true_angle_with_the_picture(
    hard: RenderedScan, kind: int, scale_px: float
) -> None:
    # Streaks are steep across rows, and one row or two high.
    smooth = ndimage.median_filter(hard.pixels, size=(5, 1))
    inner = ndimage.binary_erosion(hard.class_map == kind, iterations=6)
    error = apart_rad(hard.angle_rad, stripe_angle_rad(smooth, scale_px), 2)[inner]
    assert np.median(error) < np.deg2rad(2.5)


def test_a_wall_has_its_up_domain_on_the_side_that_the_angle_says(hard: RenderedScan) -> None:
    assert hard.symmetry == (1, 2, 2, 1)
    row, column = np.nonzero((hard.class_map == WALLS) & (hard.pixels < 0.25))
    angle = hard.angle_rad[row, column]
    brighter = []
    for side in (1, -1):  # three wall widths away, on either side
        y = row + side * 4 * np.cos(angle)
        x = column - side * 4 * np.sin(angle)
        brighter.append(ndimage.map_coordinates(hard.pixels, [y, x], order=1, mode="nearest"))
    up, down = brighter
    assert (up > down).mean() > 0.85
    assert np.median(up - down) == pytest.approx(2 * PRESETS["hard"].polarity, rel=0.3)


def test_grains_point_up_or_down(hard: RenderedScan) -> None:
    needles = hard.class_map == NEEDLES
    grains, count = ndimage.label(needles)
    sizes = ndimage.sum_labels(needles, grains, np.arange(1, count + 1))
    levels = np.array(
        [np.median(hard.pixels[grains == 1 + i]) for i in range(count) if sizes[i] > 500]
    )
    assert np.ptp(levels) > PRESETS["hard"].polarity  # twice that between up and down


@pytest.mark.parametrize("seed", SEEDS)
def test_small_grains_mix_the_classes(seed: int) -> None:
    medium, mixed = (render_domains(seed=seed, difficulty=d) for d in ("medium", "mixed"))
    assert kappa_apart(medium, 24, 40) > 0.4
    assert abs(kappa_apart(mixed, 24, 40)) < 0.15
    assert mixed.lengths_px["grain_diameter"] == 40


def test_what_is_hard_is_noisier_than_what_is_easy() -> None:
    spread = []
    for difficulty in ("easy", "medium", "hard"):
        noisy = render_domains(seed=1, difficulty=difficulty)
        clean = render_domains(seed=1, difficulty=difficulty, noise=0)
        spread.append(float((noisy.pixels - clean.pixels)[clean.pixels > 0.4].std()))
    assert spread == pytest.approx([0.02, 0.04, 0.08], rel=0.25)


def test_streaks_of_the_tip_lie_along_rows() -> None:
    streaked = render_domains(seed=1, difficulty="hard", noise=0, blur_px=0)
    jump = np.abs(np.diff(streaked.pixels, axis=0)).mean(axis=1)
    calm = render_domains(seed=1, noise=0, blur_px=0)
    calm_jump = np.abs(np.diff(calm.pixels, axis=0)).mean(axis=1)
    assert (jump > 2 * np.median(jump)).sum() >= 8
    assert (calm_jump > 2 * np.median(calm_jump)).sum() <= 2


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(DataError, match=r"^difficulty: no preset 'mix'; did you mean 'mixed'"):
        render_domains(difficulty="mix")
