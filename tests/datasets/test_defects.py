"""Laws of the rendered crystal with point defects: the truth fits the picture, all is mixed."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.metrics import cohen_kappa_score

from vaeopt.core.errors import DataError
from vaeopt.datasets.defects import (
    BOND_PX,
    CLASS_NAMES,
    LENGTHS_PX,
    NAME,
    PRESETS,
    SMALLEST_PX,
    SYMMETRY,
    render_defects,
)
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

Array = NDArray[Any]

SEEDS = (0, 1, 2)
PRISTINE, VACANCY, DOPANT, ADATOM = range(4)


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    return render_defects(seed=request.param)


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def clean(request: pytest.FixtureRequest) -> RenderedScan:
    return render_defects(seed=request.param, dose=np.inf)


def sixths(scan: RenderedScan, kind: int) -> Array:
    """Intensity (n, 6) at the six places a bond away from key points of a class.

    From the true angle on, in units of that at the key point.
    """
    yx = scan.yx_px[scan.classes_at(scan.yx_px) == kind]
    angle = scan.angles_at(yx)[:, None] + np.pi / 3 * np.arange(6)
    places = yx.T[:, :, None] + BOND_PX * np.stack([np.sin(angle), np.cos(angle)])
    pixels = scan.pixels.astype(float)
    there = ndimage.map_coordinates(pixels, places, order=1)
    return np.asarray(there / ndimage.map_coordinates(pixels, yx.T, order=1)[:, None])


def test_the_same_seed_gives_the_same_scan_bit_for_bit() -> None:
    first, second = render_defects(seed=5, size_px=200), render_defects(seed=5, size_px=200)
    for name in ("pixels", "class_map", "angle_rad", "yx_px"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_rendering_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    render_defects(seed=5, size_px=SMALLEST_PX)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_another_seed_gives_another_image_and_another_truth() -> None:
    first, second = render_defects(seed=0, size_px=240), render_defects(seed=1, size_px=240)
    assert not np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.class_map, second.class_map)


def test_the_truth_does_not_depend_on_the_dose() -> None:
    first = render_defects(seed=2, size_px=240)
    second = render_defects(seed=2, size_px=240, dose=3.0)
    assert not np.array_equal(first.pixels, second.pixels)
    for name in ("class_map", "angle_rad", "yx_px"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@pytest.mark.parametrize("difficulty", PRESETS)
def test_a_preset_keeps_the_contract(difficulty: str) -> None:
    scan = render_defects(seed=1, difficulty=difficulty, size_px=301)
    assert scan.pixels.shape == (301, 301)
    assert (scan.name, scan.difficulty) == (NAME, difficulty)
    assert (scan.class_names, scan.symmetry) == (CLASS_NAMES, SYMMETRY)
    assert dict(scan.lengths_px) == dict(LENGTHS_PX)
    assert scan.pixel_size_nm == pytest.approx(0.25 / 11)
    assert np.isfinite(scan.pixels).all()
    assert (scan.pixels > 0).all()
    assert set(np.unique(scan.class_map)) == {AMBIGUOUS, *range(4)}
    assert np.array_equal(np.isnan(scan.angle_rad), scan.class_map == AMBIGUOUS)
    for kind, order in enumerate(scan.symmetry):
        angle = scan.angle_rad[scan.class_map == kind]
        assert angle.min() >= 0
        assert angle.max() < np.float32(2 * np.pi / order)


def test_easy_medium_and_hard_differ_in_what_they_say() -> None:
    easy, medium, hard = (PRESETS[name] for name in ("easy", "medium", "hard"))
    assert easy.frame.dose > medium.frame.dose > hard.frame.dose
    assert easy.frame.probe_px < medium.frame.probe_px < hard.frame.probe_px
    assert easy.strain < medium.strain < hard.strain


def test_classes_are_equally_frequent_among_key_points(scan: RenderedScan) -> None:
    count = np.bincount(scan.classes_at(scan.yx_px), minlength=4)  # refuses -1
    assert 400 <= count.sum() <= 800
    assert len(set(count)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_smallest_scan_holds_all_classes(seed: int) -> None:
    scan = render_defects(seed=seed, size_px=SMALLEST_PX)
    assert np.bincount(scan.classes_at(scan.yx_px), minlength=4).min() >= 5


def test_windows_of_20_px_fit_into_the_frame(scan: RenderedScan) -> None:
    assert scan.yx_px.min() >= 12
    assert scan.yx_px.max() <= len(scan.pixels) - 13


def test_neighbours_tell_nothing() -> None:
    own, other = [], []
    for seed in range(4):
        scan = render_defects(seed=seed, dose=np.inf)
        kind = scan.classes_at(scan.yx_px)
        near = np.asarray(cKDTree(scan.yx_px).query(scan.yx_px, k=4)[1])
        own.append(np.repeat(kind, 3))
        other.append(kind[near[:, 1:]].ravel())
    kappa = cohen_kappa_score(np.concatenate(own), np.concatenate(other))
    assert abs(kappa) < 0.05  # about four standard errors of 4500 pairs


def test_a_window_shows_one_defect_only(clean: RenderedScan) -> None:
    kind = clean.classes_at(clean.yx_px)
    defect = kind != PRISTINE
    angle = clean.angles_at(clean.yx_px)[defect]
    place = clean.yx_px[defect] + BOND_PX * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    away, which = cKDTree(place).query(clean.yx_px, k=2)
    own = defect[:, None] & (which == (np.cumsum(defect) - 1)[:, None])
    others = np.where(own, np.inf, away).min(axis=1)
    assert others[defect].min() > 10 * np.sqrt(2)
    assert others[~defect].min() > 10 * np.sqrt(2)


def test_defects_take_all_three_directions_equally(clean: RenderedScan) -> None:
    kind = clean.classes_at(clean.yx_px)
    lattice = np.angle(np.exp(3j * clean.angles_at(clean.yx_px[kind == PRISTINE])).mean()) / 3
    for defect in (VACANCY, DOPANT, ADATOM):
        angle = clean.angles_at(clean.yx_px[kind == defect]) - lattice - np.pi * (defect == ADATOM)
        thirds = angle / (2 * np.pi / 3)
        assert np.abs(thirds - np.rint(thirds)).max() < 0.1  # strain turns by a few degrees
        count = np.bincount(np.rint(thirds).astype(int) % 3, minlength=3)
        assert count.min() > 0.15 * count.sum()


def test_key_points_are_maxima_of_the_picture(clean: RenderedScan) -> None:
    smooth = ndimage.gaussian_filter(clean.pixels.astype(float), 0.5)
    peaks = np.argwhere(smooth == ndimage.maximum_filter(smooth, 3))
    away = cKDTree(peaks).query(clean.yx_px)[0]
    assert np.quantile(away, 0.99) < 2.0  # the peak is at a whole pixel, lines are shifted


def test_pristine_places_have_three_dim_columns_and_three_hollows(clean: RenderedScan) -> None:
    around = sixths(clean, PRISTINE)
    dim, hollow = around[:, ::2], around[:, 1::2]
    assert (dim.min(axis=1) > hollow.max(axis=1)).mean() > 0.98
    assert dim.mean(axis=0) == pytest.approx(dim.mean(), rel=0.05)  # none of them is special


def test_the_angle_of_a_vacancy_points_at_the_missing_column(clean: RenderedScan) -> None:
    around = sixths(clean, VACANCY)
    assert (around[:, 0] < 0.8 * around[:, [2, 4]].min(axis=1)).mean() > 0.98


def test_the_angle_of_a_dopant_points_at_the_brightest_neighbour(clean: RenderedScan) -> None:
    around = sixths(clean, DOPANT)
    assert (around.argmax(axis=1) == 0).mean() > 0.98
    assert np.median(around[:, 0] / around[:, [2, 4]].max(axis=1)) > 1.4


def test_the_angle_of_an_adatom_points_at_the_filled_hollow(clean: RenderedScan) -> None:
    around = sixths(clean, ADATOM)
    assert (around[:, 0] > 1.2 * around[:, [2, 4]].max(axis=1)).mean() > 0.98
    assert (around[:, [1, 3, 5]].min(axis=1) > around[:, [2, 4]].max(axis=1)).mean() > 0.95


def test_a_defect_belongs_to_all_three_bright_columns_round_it(clean: RenderedScan) -> None:
    vacancies = clean.yx_px[clean.classes_at(clean.yx_px) == VACANCY]
    angle = clean.angles_at(vacancies)
    place = vacancies + BOND_PX * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    for turn in 2 * np.pi / 3 * np.arange(1, 3):
        back = angle + np.pi + turn
        other = place + BOND_PX * np.stack([np.sin(back), np.cos(back)], axis=1)
        kind = clean.classes_at(other)
        assert set(kind) <= {VACANCY, AMBIGUOUS}  # there may be another defect near
        assert (kind == VACANCY).sum() > 20
        apart = np.exp(1j * (clean.angles_at(other) - back - np.pi))[kind == VACANCY]
        assert np.abs(np.angle(apart)).max() < 0.15


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"seed": -1}, "seed: must be 0 or more, got -1"),
        ({"size_px": 100}, "size_px: must be 160 or more to hold all classes, got 100"),
        ({"dose": -2.0}, "dose: must be more than 0, got -2.0"),
        (
            {"difficulty": "impossible"},
            "difficulty: unknown preset 'impossible'; known: easy, hard, medium",
        ),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(
    arguments: dict[str, Any], line: str
) -> None:
    with pytest.raises(DataError) as refused:
        render_defects(**arguments)
    assert str(refused.value) == line
