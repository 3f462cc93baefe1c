"""Laws of the rendered cards: the truth it carries is the truth of its pixels."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.core.errors import DataError
from vaeopt.datasets.cards import (
    CELL_PX,
    FEWEST_CELLS,
    LENGTH_PX,
    LENGTHS_PX,
    NAME,
    PRESETS,
    SYMMETRY,
    render_cards,
)
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan
from vaeopt.datasets.suits import SUITS, draw_suit
from vaeopt.kernels.agreement import has_room
from vaeopt.kernels.crop import crop

CLASSIC = ("rot12-shear1", "rot12-shear20", "rot120-shear1", "rot120-shear20")
TURNS_DEG = np.arange(-180, 180, 4)

Array = NDArray[Any]


@pytest.fixture(scope="module", params=CLASSIC)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    return render_cards(seed=3, difficulty=request.param, cells=8)


@pytest.fixture(scope="module", params=CLASSIC)
def clean(request: pytest.FixtureRequest) -> RenderedScan:
    """Without noise and blur, but with the background."""
    return render_cards(seed=4, difficulty=request.param, cells=10, noise=0, blur_px=0)


def cells_of(scan: RenderedScan) -> Array:
    """(n, 48, 48) cells, above their ground: suits have 1."""
    windows = crop(scan.pixels, scan.yx_px, CELL_PX)
    return windows - np.median(windows, axis=(1, 2), keepdims=True)


def centred(windows: Array) -> Array:
    """(n, 48 * 48) suits without ground, centroids in the middle, zero mean and unit length."""
    suits = np.where(windows > 0.5, windows, 0)
    middle = (CELL_PX - 1) / 2
    moved = [
        ndimage.shift(suit, np.subtract(middle, ndimage.center_of_mass(suit)), order=1)
        for suit in suits
    ]
    flat = np.reshape(moved, (len(moved), -1))
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


def templates(turn_rad: Array, shears_deg: tuple[float, ...]) -> Array:
    """(turns, 4, shears, 48 * 48) every suit, as :func:`centred` has it."""
    middle = (CELL_PX - 1) / 2
    pictures = [
        draw_suit(
            suit,
            box_px=CELL_PX,
            centre_yx=(middle, middle),
            angle_rad=float(turn),
            shear_rad=float(np.deg2rad(shear)),
        )
        for turn in turn_rad
        for suit in range(4)
        for shear in shears_deg
    ]
    flat = centred(np.array(pictures))
    return flat.reshape(len(turn_rad), 4, len(shears_deg), -1)


def test_the_same_seed_gives_the_same_scan_bit_for_bit() -> None:
    first, second = (render_cards(seed=5, cells=6) for _ in range(2))
    for name in ("pixels", "class_map", "angle_rad", "yx_px"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_another_seed_gives_another_image_and_another_truth() -> None:
    first, second = render_cards(seed=0, cells=6), render_cards(seed=1, cells=6)
    assert not np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.class_map, second.class_map)


def test_rendering_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    render_cards(seed=5, cells=6)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_the_truth_does_not_depend_on_the_instrument() -> None:
    first, second = render_cards(seed=2, cells=6), render_cards(seed=2, cells=6, noise=1, blur_px=3)
    assert not np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.class_map, second.class_map)
    assert np.array_equal(first.angle_rad, second.angle_rad, equal_nan=True)


@pytest.mark.parametrize("cells", [FEWEST_CELLS, 9])
def test_the_description_fits(cells: int) -> None:
    scan = render_cards(seed=1, cells=cells)
    assert scan.pixels.shape == (48 * cells + 32,) * 2
    assert scan.yx_px.shape == (cells**2, 2)
    assert (scan.name, scan.class_names, scan.symmetry) == (NAME, SUITS, SYMMETRY)
    assert dict(scan.lengths_px) == dict(LENGTHS_PX)
    assert (scan.length_px, scan.pixel_size_nm, scan.n_classes) == (LENGTH_PX, 1.0, 4)
    assert scan.difficulty == "medium"


def test_by_default_there_are_400_suits() -> None:
    scan = render_cards(seed=1)
    assert scan.pixels.shape == (992, 992)
    assert np.bincount(scan.classes_at(scan.yx_px)).tolist() == [100, 100, 100, 100]


def test_pixels_are_finite_and_never_clipped(scan: RenderedScan) -> None:
    assert np.isfinite(scan.pixels).all()
    assert scan.pixels.min() > 0.1


def test_noise_beyond_all_presets_leaves_pixels_positive() -> None:
    assert render_cards(cells=6, noise=2).pixels.min() > 0


def test_an_angle_is_defined_exactly_where_a_class_is(scan: RenderedScan) -> None:
    assert np.array_equal(np.isnan(scan.angle_rad), scan.class_map == AMBIGUOUS)


def test_angles_lie_in_one_turn_of_their_symmetry(scan: RenderedScan) -> None:
    for kind, order in enumerate(scan.symmetry):
        angle = scan.angle_rad[scan.class_map == kind]
        assert angle.min() >= 0
        assert angle.max() < np.float32(2 * np.pi / order)


@pytest.mark.parametrize("name", PRESETS)
def test_suits_turn_as_far_as_the_difficulty_says_and_all_the_way(name: str) -> None:
    scan = render_cards(seed=6, difficulty=name, cells=12)
    kinds = scan.classes_at(scan.yx_px)
    turn_deg = np.rad2deg(np.angle(np.exp(1j * scan.angles_at(scan.yx_px)[kinds != 2])))
    most = PRESETS[name].rotation_deg
    assert np.abs(turn_deg).max() <= most + 1e-3
    assert turn_deg.max() > 0.9 * most
    assert turn_deg.min() < -0.9 * most
    assert scan.difficulty == name


@pytest.mark.parametrize(
    ("name", "classic"),
    [("easy", CLASSIC[0]), ("medium", CLASSIC[2]), ("hard", CLASSIC[3])],
)
def test_a_difficulty_is_one_of_the_classic_sets(name: str, classic: str) -> None:
    first, second = (render_cards(seed=1, difficulty=d, cells=6) for d in (name, classic))
    assert np.array_equal(first.pixels, second.pixels)


def test_difficulties_differ_in_how_far_suits_are_turned_not_in_which_there_are() -> None:
    little, far = (render_cards(seed=1, difficulty=d, cells=6) for d in ("easy", "hard"))
    kinds = little.classes_at(little.yx_px)
    assert np.array_equal(kinds, far.classes_at(far.yx_px))
    small, large = (np.angle(np.exp(1j * s.angles_at(s.yx_px)[kinds != 2])) for s in (little, far))
    assert 10 * small == pytest.approx(large, abs=1e-5)


@pytest.mark.parametrize("cells", [6, 7, 9, 10])
def test_every_suit_is_there_equally_often(cells: int) -> None:
    scan = render_cards(seed=2, cells=cells)
    count = np.bincount(scan.classes_at(scan.yx_px), minlength=4)
    assert count.sum() == cells**2
    assert np.ptp(count) <= 1


def test_neighbours_tell_nothing() -> None:
    alike, pairs = 0, 0
    for seed in range(8):
        scan = render_cards(seed=seed, cells=12, noise=0, blur_px=0)
        table = scan.classes_at(scan.yx_px).reshape(12, 12)
        for first, second in ((table[1:], table[:-1]), (table[:, 1:], table[:, :-1])):
            alike += int((first == second).sum())
            pairs += first.size
    chance = 35 / 143  # of the 143 others in a table, 35 are of the same suit
    assert abs(alike / pairs - chance) < 4 * np.sqrt(chance * (1 - chance) / pairs)


def test_every_cell_shows_one_whole_suit_in_its_labelled_disc(clean: RenderedScan) -> None:
    labelled = crop(clean.class_map.astype(np.float32), clean.yx_px, CELL_PX) != AMBIGUOUS
    for window, near in zip(cells_of(clean), labelled, strict=True):
        suit = window > 0.5
        assert ndimage.label(suit, structure=np.ones((3, 3)))[1] == 1
        assert not suit[[0, -1]].any()
        assert not suit[:, [0, -1]].any()
        assert suit[near].sum() > 0.97 * suit.sum()


def test_every_labelled_disc_has_the_class_and_the_angle_of_its_key_point(
    scan: RenderedScan,
) -> None:
    discs, count = ndimage.label(scan.class_map != AMBIGUOUS)
    assert count == len(scan.yx_px)
    row, column = scan.yx_px.astype(int).T
    for disc, kind, angle in zip(
        discs[row, column], scan.classes_at(scan.yx_px), scan.angles_at(scan.yx_px), strict=True
    ):
        assert set(scan.class_map[discs == disc]) == {kind}
        assert set(scan.angle_rad[discs == disc]) == {np.float32(angle)}


def test_a_window_of_48_has_its_place_however_it_is_turned_and_shifted(
    scan: RenderedScan,
) -> None:
    for turn_deg in (0, 30, 45):
        assert has_room(
            scan.yx_px,
            CELL_PX,
            scan.pixels.shape,
            angle_rad=np.full(len(scan.yx_px), np.deg2rad(turn_deg)),
            shift_px=np.full((len(scan.yx_px), 2), 3.0),
        ).all()


def test_with_the_true_angle_templates_find_the_true_class(clean: RenderedScan) -> None:
    suits = centred(cells_of(clean))
    shears = (0.0,) if clean.difficulty.endswith("shear1") else (-13.0, 0.0, 13.0)
    known = templates(clean.angles_at(clean.yx_px), shears)
    likeness = np.einsum("nksp,np->nks", known, suits).max(axis=2)
    found, truth = likeness.argmax(axis=1), clean.classes_at(clean.yx_px)
    assert (found == truth).mean() > 0.99
    other = render_cards(seed=40, cells=10, noise=0)
    assert (found == other.classes_at(other.yx_px)).mean() < 0.45, "labels of another table"


@pytest.mark.parametrize("difficulty", ["rot12-shear1", "rot120-shear1"])
def test_with_the_true_class_templates_find_the_true_angle(difficulty: str) -> None:
    scan = render_cards(seed=4, difficulty=difficulty, cells=8, noise=0, blur_px=0)
    known = templates(np.deg2rad(TURNS_DEG), (0.0,))[:, :, 0]
    kinds, suits = scan.classes_at(scan.yx_px), centred(cells_of(scan))
    likeness = np.einsum("tnp,np->nt", known[:, kinds], suits)
    found = np.deg2rad(TURNS_DEG[likeness.argmax(axis=1)])
    order = np.array(SYMMETRY)[kinds]
    apart = np.angle(np.exp(1j * order * (found - scan.angles_at(scan.yx_px)))) / order
    assert np.rad2deg(np.abs(apart)).max() < 4  # the step of the templates


@pytest.mark.parametrize("name", CLASSIC)
def test_noise_is_what_the_preset_says(name: str) -> None:
    noisy, clean = (
        render_cards(seed=3, difficulty=name, cells=6, noise=noise) for noise in (None, 0.0)
    )
    assert (noisy.pixels - clean.pixels).std() == pytest.approx(PRESETS[name].noise, rel=0.02)


def test_the_background_varies_as_the_preset_says_and_slowly() -> None:
    for name in ("easy", "hard"):
        grounds, within = [], []
        for seed in range(12):
            scan = render_cards(seed=seed, difficulty=name, cells=8, noise=0, blur_px=0)
            windows = crop(scan.pixels, scan.yx_px, CELL_PX)
            ground = np.concatenate([windows[:, 0], windows[:, -1]], axis=1)
            grounds.append(ground - 1)
            within.append(ground.std(axis=1).mean())
        spread = float(np.sqrt(np.mean(np.square(grounds))))
        assert spread == pytest.approx(PRESETS[name].background, rel=0.25)
        assert np.mean(within) < 0.5 * spread


def test_blur_softens_edges() -> None:
    sharp, soft = (
        render_cards(seed=1, cells=6, noise=0, blur_px=blur).pixels for blur in (0.0, 1.5)
    )
    steepest = [max(np.abs(np.diff(p, axis=axis)).max() for axis in (0, 1)) for p in (sharp, soft)]
    assert steepest[1] < 0.5 * steepest[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("cells", FEWEST_CELLS - 1),
        ("noise", -0.1),
        ("noise", float("nan")),
        ("blur_px", float("inf")),
        ("difficulty", "harder"),
    ],
)
def test_an_argument_out_of_range_is_named(setting: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        render_cards(**{setting: value})
    assert caught.value.setting == setting
    assert "\n" not in str(caught.value)


def test_an_unknown_difficulty_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'rot120-shear20'"):
        render_cards(difficulty="rot120-shear2O")
