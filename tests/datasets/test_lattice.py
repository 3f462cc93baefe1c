"""Laws of the rendered grains of atomic motifs: the truth fits the picture, grains are balanced."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from vaeopt.core.errors import DataError
from vaeopt.datasets.lattice import (
    CLASS_NAMES,
    LENGTHS_PX,
    NAME,
    PRESETS,
    SMALLEST_PX,
    SYMMETRY,
    render_lattice,
)
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

Array = NDArray[Any]

SEEDS = (0, 1, 2)
SQUARE, HONEYCOMB, RECTANGULAR = range(3)


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    return render_lattice(seed=request.param)


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def clean(request: pytest.FixtureRequest) -> RenderedScan:
    return render_lattice(seed=request.param, dose=np.inf)


def inner(scan: RenderedScan) -> Array:
    """Key points of a class, so far from the edge that a circle round them fits."""
    yx = scan.yx_px
    fits = ((yx > 20) & (yx < len(scan.pixels) - 21)).all(axis=1)
    return np.asarray(yx[fits & (scan.classes_at(yx) != AMBIGUOUS)])


def ring(scan: RenderedScan, yx_px: Array, radius_px: float, angle_rad: Array) -> Array:
    """Intensity (n, m) on a circle, at angles (m,) from the true one at each place (n, 2)."""
    angle = scan.angles_at(yx_px)[:, None] + angle_rad
    away = radius_px * np.stack([np.sin(angle), np.cos(angle)])
    places = yx_px.T[:, :, None] + away
    return np.asarray(ndimage.map_coordinates(scan.pixels.astype(float), places, order=1))


def shell_px(kind: int) -> float:
    """From a bright to a dim column."""
    cell = LENGTHS_PX["lattice_constant"]
    return float(
        cell * [1 / np.sqrt(2), np.sqrt(2 / np.sqrt(3)) / np.sqrt(3), np.sqrt(1.5) / 2][kind]
    )


def test_the_same_seed_gives_the_same_scan_bit_for_bit() -> None:
    first, second = render_lattice(seed=5, size_px=200), render_lattice(seed=5, size_px=200)
    for name in ("pixels", "class_map", "angle_rad", "yx_px"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_rendering_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    render_lattice(seed=5, size_px=SMALLEST_PX)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_another_seed_gives_another_image_and_another_truth() -> None:
    first, second = render_lattice(seed=0), render_lattice(seed=1)
    assert not np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.class_map, second.class_map)


def test_the_truth_does_not_depend_on_the_dose() -> None:
    first, second = render_lattice(seed=2), render_lattice(seed=2, dose=3.0)
    assert not np.array_equal(first.pixels, second.pixels)
    for name in ("class_map", "angle_rad", "yx_px"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@pytest.mark.parametrize("difficulty", PRESETS)
def test_a_preset_keeps_the_contract(difficulty: str) -> None:
    scan = render_lattice(seed=1, difficulty=difficulty, size_px=201)
    n_motifs = PRESETS[difficulty].n_motifs
    assert scan.pixels.shape == (201, 201)
    assert (scan.name, scan.difficulty) == (NAME, difficulty)
    assert scan.class_names == CLASS_NAMES[:n_motifs]
    assert scan.symmetry == SYMMETRY[:n_motifs]
    assert dict(scan.lengths_px) == dict(LENGTHS_PX)
    assert scan.pixel_size_nm == pytest.approx(0.0325)
    assert np.isfinite(scan.pixels).all()
    assert (scan.pixels > 0).all()
    assert set(np.unique(scan.class_map)) == {AMBIGUOUS, *range(n_motifs)}
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
    assert easy.vacancies < medium.vacancies < hard.vacancies


def test_there_are_enough_key_points_of_every_class(scan: RenderedScan) -> None:
    kind = scan.classes_at(scan.yx_px)
    assert 500 <= len(kind) <= 900
    count = np.bincount(kind + 1, minlength=4)
    assert count[0] < 0.4 * len(kind)
    assert count[1:].min() > 0.6 * count[1:].max()


@pytest.mark.parametrize("seed", range(3, 9))
def test_classes_are_balanced_at_any_seed(seed: int) -> None:
    scan = render_lattice(seed=seed, dose=np.inf)
    count = np.bincount(scan.classes_at(scan.yx_px) + 1, minlength=4)[1:]
    assert count.min() > 0.55 * count.max()


@pytest.mark.parametrize("seed", range(6))
def test_the_smallest_scan_holds_all_classes(seed: int) -> None:
    scan = render_lattice(seed=seed, size_px=SMALLEST_PX)
    assert np.bincount(scan.classes_at(scan.yx_px) + 1, minlength=4)[1:].min() >= 10


def test_key_points_are_maxima_of_the_picture(clean: RenderedScan) -> None:
    smooth = ndimage.gaussian_filter(clean.pixels.astype(float), 1.0)
    peaks = np.argwhere(smooth == ndimage.maximum_filter(smooth, 5))
    away = cKDTree(peaks).query(inner(clean))[0]
    assert np.quantile(away, 0.99) < 1.5  # the peak is at a whole pixel, lines are shifted


def test_a_grain_is_all_of_one_class(scan: RenderedScan) -> None:
    tree = cKDTree(scan.yx_px)
    kind = scan.classes_at(scan.yx_px)
    near = np.asarray(tree.query(scan.yx_px, k=2)[1])[:, 1]
    known = (kind >= 0) & (kind[near] >= 0)
    assert (kind[known] == kind[near][known]).mean() > 0.99


@pytest.mark.parametrize("kind", [SQUARE, HONEYCOMB, RECTANGULAR])
def test_dim_columns_are_where_angle_and_symmetry_say(clean: RenderedScan, kind: int) -> None:
    yx = inner(clean)
    yx = yx[clean.classes_at(yx) == kind]
    turns = 2 * np.pi / SYMMETRY[kind] * np.arange(SYMMETRY[kind])
    on, before, after = (
        ring(clean, yx, shell_px(kind), turns + aside) for aside in (0, -np.pi / 5, np.pi / 5)
    )
    assert (on.mean(axis=1) > 1.1 * before.mean(axis=1)).mean() > 0.98
    assert (on.mean(axis=1) > 1.1 * after.mean(axis=1)).mean() > 0.98


@pytest.mark.parametrize("kind", [SQUARE, HONEYCOMB, RECTANGULAR])
def test_turns_by_the_symmetry_change_nothing_and_others_do(clean: RenderedScan, kind: int) -> None:
    yx = inner(clean)
    yx = yx[clean.classes_at(yx) == kind]
    angle = np.arange(0, 2 * np.pi, np.pi / 60)
    seen = np.stack([ring(clean, yx, radius, angle).mean(axis=0) for radius in (6.0, 9.0, 12.0)])
    change = {
        order: np.abs(np.roll(seen, 120 // order, axis=1) - seen).mean() / seen.std(axis=1).mean()
        for order in (2, 3, 4, 5, 6, 8)
    }
    unchanged = {order for order, size in change.items() if size < 0.3}
    assert unchanged == {order for order in change if SYMMETRY[kind] % order == 0}


def test_motifs_do_not_differ_by_brightness(clean: RenderedScan) -> None:
    pixels = clean.pixels.astype(float)
    local, slow = (ndimage.gaussian_filter(pixels, sigma) for sigma in (6.0, 40.0))
    mean = [float((local / slow)[clean.class_map == kind].mean()) for kind in range(3)]
    assert max(mean) / min(mean) < 1.1


def test_bright_columns_are_equally_dense_in_all_motifs(clean: RenderedScan) -> None:
    kind = clean.classes_at(clean.yx_px)
    area = np.bincount(clean.class_map.ravel() + 1, minlength=4)[1:]
    per_cell = np.bincount(kind + 1, minlength=4)[1:] / area * LENGTHS_PX["lattice_constant"] ** 2
    assert per_cell == pytest.approx(1, abs=0.15)


def test_where_a_class_is_no_neighbour_is_missing() -> None:
    """Also with many vacancies: next to one it is not clear which motif is seen."""
    scan = render_lattice(seed=3, difficulty="hard", dose=np.inf)
    yx = inner(scan)
    for kind, order in enumerate(SYMMETRY):
        here = yx[scan.classes_at(yx) == kind]
        on = ring(scan, here, shell_px(kind), 2 * np.pi / order * np.arange(order))
        assert (on / on.mean(axis=1, keepdims=True)).min() > 0.6


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"seed": -1}, "seed: must be 0 or more, got -1"),
        ({"size_px": 100}, "size_px: must be 160 or more to hold all classes, got 100"),
        ({"dose": 0.0}, "dose: must be more than 0, got 0.0"),
        ({"dose": float("nan")}, "dose: must be more than 0, got nan"),
        (
            {"difficulty": "hrad"},
            "difficulty: unknown preset 'hrad'; did you mean 'hard'? (known: easy, hard, medium)",
        ),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(
    arguments: dict[str, Any], line: str
) -> None:
    with pytest.raises(DataError) as refused:
        render_lattice(**arguments)
    assert str(refused.value) == line
