"""What windows look like: the laws of turn and shift first, then edges and neighbours by hand."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.kernels.descriptor import describe, invariant, most_alike

Array = NDArray[np.float64]
SIZE = 25


def _texture(seed: int, edge: int = 161, scale: float = 2.0) -> Array:
    """Smooth noise in [0, 1], so that interpolation loses little."""
    noise = np.random.default_rng(seed).standard_normal((edge, edge))
    smooth = ndimage.gaussian_filter(noise, scale)
    low, high = smooth.min(), smooth.max()
    return np.asarray((smooth - low) / (high - low))


def _places(n: int = 60, edge: int = 161, *, seed: int = 1, margin: float = 45) -> Array:
    return np.random.default_rng(seed).uniform(margin, edge - 1 - margin, (n, 2))


def _both(first: Array, at_first: Array, second: Array, at_second: Array, size: int) -> Array:
    """Descriptors of two sets of windows in one space: the images side by side."""
    gap = np.full((first.shape[0], 3 * size), 0.5)
    image = np.hstack([first, gap, second])
    moved = at_second + np.array([0, first.shape[1] + gap.shape[1]])
    places = np.vstack([at_first, moved])
    return np.asarray(describe(image, places, size, n_features=100), np.float64)


def _ratio(features: Array) -> float:
    """Distance between partners over that between unrelated windows, medians."""
    half = len(features) // 2
    a, b = features[:half], features[half:]
    partners = np.linalg.norm(a - b, axis=1)
    others = np.linalg.norm(a - np.roll(b, 7, axis=0), axis=1)
    return float(np.median(partners) / np.median(others))


# ---- turns and shifts


@pytest.mark.parametrize("size", [SIZE, SIZE + 1, 32, 3])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_changes_nothing(quarters: int, size: int) -> None:
    image, places = _texture(0), np.round(_places())
    turned, last = np.rot90(image, quarters), len(image) - 1
    at = places
    for _ in range(quarters):  # (row, column) of the same pixel after a quarter turn
        at = np.column_stack([last - at[:, 1], at[:, 0]])
    np.testing.assert_allclose(
        ndimage.map_coordinates(turned, at.T, order=1),
        ndimage.map_coordinates(image, places.T, order=1),
    )
    features = _both(image, places, turned, at, size)
    half = len(places)
    assert features[:half].std() > 1e-3
    # The square root lifts the rounding of amplitudes near zero.
    np.testing.assert_allclose(features[:half], features[half:], rtol=0, atol=1e-6)


def _waves(seed: int, low: float = 0.03, high: float = 0.33) -> Callable[[Array], Array]:
    """Plane waves of these frequencies [1/px] in all directions: exact at any place and turn."""
    rng, n = np.random.default_rng(seed), 100
    angle, frequency = rng.uniform(0, 2 * np.pi, n), rng.uniform(low, high, n)
    k = 2 * np.pi * frequency[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    phase = rng.uniform(0, 2 * np.pi, n)

    def grey(yx: Array) -> Array:
        return np.asarray(0.5 + 0.15 * np.cos(yx @ k.T + phase).sum(axis=-1) / np.sqrt(n / 2))

    return grey


def _tiles(
    grey: Callable[[Array], Array], centres: Array, turn_rad: float, shift_px: float, size: int
) -> tuple[Array, Array]:
    """Windows of a texture side by side, each turned and shifted, and their middles."""
    edge, rng = size + 4 - size % 2 + 1, np.random.default_rng(2)
    offset = np.arange(edge) - edge // 2
    grid = np.stack(np.meshgrid(offset, offset, indexing="ij"), axis=-1).astype(float)
    turn = np.array([(np.cos(turn_rad), -np.sin(turn_rad)), (np.sin(turn_rad), np.cos(turn_rad))])
    tiles = []
    for centre, way in zip(centres, rng.uniform(0, 2 * np.pi, len(centres)), strict=True):
        moved = grid + shift_px * np.array([np.sin(way), np.cos(way)])
        tiles.append(grey(moved @ turn.T + centre))
    middles = [(edge // 2, i * edge + edge // 2) for i in range(len(centres))]
    return np.hstack(tiles), np.array(middles, dtype=float)


def _seen_again(turn_rad: float, shift_px: float, size: int) -> float:
    """How far windows are from themselves at another pose, unrelated windows being at 1."""
    grey, centres = _waves(0), np.random.default_rng(1).uniform(0, 3000, (50, 2))
    first = _tiles(grey, centres, 0.0, 0.0, size)
    second = _tiles(grey, centres, turn_rad, shift_px, size)
    return _ratio(_both(*first, *second, size))


@pytest.mark.parametrize(
    ("size", "degrees"), [(25, 10), (25, 45), (25, 160), (9, 37), (24, 37), (32, 37), (48, 37)]
)
def test_any_other_turn_changes_little(size: int, degrees: float) -> None:
    """Values are read between the samples of a spectrum, hence not nothing."""
    assert _seen_again(float(np.deg2rad(degrees)), 0.0, size) < 0.5


@pytest.mark.parametrize(("size", "most"), [(15, (0.25, 0.45)), (25, (0.3, 0.5)), (48, (0.2, 0.3))])
def test_a_small_shift_changes_little(size: int, most: tuple[float, float]) -> None:
    """By 1 px, or by 2 px where the window is wider than 15."""
    first, second = (0.5, 1.0) if size == 15 else (1.0, 2.0)
    assert _seen_again(0.0, first, size) < most[0]
    assert _seen_again(0.0, second, size) < most[1]


def test_a_band_of_other_frequencies_is_further_away_than_a_turn() -> None:
    rng = np.random.default_rng(4)
    coarse, fine = _waves(5, 0.05, 0.12), _waves(6, 0.15, 0.3)
    images, places = [], []
    for i, (grey, turn) in enumerate([(coarse, 0.0), (coarse, 0.6), (fine, 0.0)]):
        image, at = _tiles(grey, rng.uniform(0, 3000, (40, 2)), turn, 0.0, SIZE)
        images.append(image)
        places.append(at + np.array([0, i * image.shape[1]]))
    features = describe(np.hstack(images), np.vstack(places), SIZE).reshape(3, 40, -1)
    here, turned, other = features.mean(axis=1)
    assert np.linalg.norm(here - turned) < 0.2 * np.linalg.norm(here - other)


# ---- edges


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_a_constant_image_has_no_features(grey: float) -> None:
    assert describe(np.full((80, 80), grey), _places(50, 80, margin=20), 15).shape == (50, 0)


def test_the_same_window_everywhere_has_no_features() -> None:
    tiles = np.tile(_texture(4, 16), (8, 8))
    corners = 16.0 * np.array(list(product(range(2, 6), range(2, 6))))
    assert describe(tiles, corners, 15).shape == (16, 0)


@pytest.mark.parametrize("n", [0, 1])
def test_no_or_one_place_has_nothing_to_differ_from(n: int) -> None:
    found = describe(_texture(0), _places(n), SIZE)
    assert len(found) == n
    assert found.shape[1] == 0


def test_numbers_of_features_and_the_order_of_their_spread() -> None:
    image, places = _texture(0), _places()
    assert describe(image, places, SIZE).shape == (60, 12)
    assert describe(image, places, SIZE, n_features=3).shape == (60, 3)
    assert describe(image, places[:5], SIZE).shape == (5, 5)
    full = describe(image, places, SIZE, n_features=1000)
    assert full.shape == (60, 42)  # 8 circles with 5 coefficients each, mean, standard deviation
    np.testing.assert_allclose(full[:, :12], describe(image, places, SIZE), atol=1e-12)
    spread = full.std(axis=0)
    assert (np.diff(spread) <= 1e-12).all()
    assert np.sum(full**2) / 60 == pytest.approx(1)


def test_brightness_and_contrast_count() -> None:
    """Two of 42 features: everything else is the same but for the scale."""
    image, places = 0.4 + 0.2 * _texture(0), _places()
    brighter = _both(image, places, image + 0.3, places, SIZE)
    assert np.linalg.norm(brighter[:60] - brighter[60:], axis=1).min() > 0.1
    stronger = _both(image, places, 0.5 + 1.5 * (image - 0.5), places, SIZE)
    assert np.linalg.norm(stronger[:60] - stronger[60:], axis=1).min() > 0.1


def test_blocks_equal_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image, places = _texture(0), _places()
    at_once = describe(image, places, SIZE)
    monkeypatch.setattr(invariant, "_BLOCK_PIXELS", 1)
    np.testing.assert_allclose(np.abs(describe(image, places, SIZE)), np.abs(at_once), atol=1e-9)


def test_a_window_below_three_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="size_px must be 3 or more, got 2"):
        describe(_texture(0), _places(), 2)


# ---- most alike


def _by_hand(features: Array, places: Array, k: int, apart_px: float) -> Array:
    """Distances in the descriptor to the k most similar, the slow way; infinity where none is."""
    found = np.full((len(features), k), np.inf)
    for i, own in enumerate(features):
        far = np.linalg.norm(places - places[i], axis=1) > apart_px
        far[i] = False
        nearest = np.sort(np.linalg.norm(features[far] - own, axis=1))[:k]
        found[i, : len(nearest)] = nearest
    return found


@pytest.mark.parametrize("apart_px", [0.0, 10.0, 45.0, 60.0])
@pytest.mark.parametrize("pairs", [4_000_000, 100])
def test_neighbours_are_those_of_all_distances(
    apart_px: float, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariant, "_BLOCK_PAIRS", pairs)
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 80, (150, 2))
    # Places that are close look alike: most neighbours in the descriptor are too close to count.
    features = places / 20 + 0.01 * rng.standard_normal((150, 2))
    found = most_alike(features, places, 7, apart_px=apart_px)
    distance = np.linalg.norm(features[found] - features[:, None], axis=2)
    distance[found < 0] = np.inf
    np.testing.assert_allclose(distance, _by_hand(features, places, 7, apart_px))
    row, column = np.nonzero(found >= 0)
    assert len(row) > 100
    apart = np.linalg.norm(places[row] - places[found[row, column]], axis=1)
    assert (apart > apart_px).all()
    assert (row != found[row, column]).all()


def test_where_there_are_not_enough_the_rest_is_minus_one() -> None:
    features = np.array([[0.0], [1.0], [3.0]])
    places = np.array([(0.0, 0.0), (0.0, 5.0), (0.0, 20.0)])
    assert most_alike(features, places, 3, apart_px=5.0).tolist() == [
        [2, -1, -1],  # a place at the bound is too close
        [2, -1, -1],
        [1, 0, -1],
    ]
    assert most_alike(features, places, 2, apart_px=100.0).tolist() == [[-1, -1]] * 3


def test_equal_descriptors_are_all_used_once() -> None:
    places = np.array(list(product(range(6), range(6))), dtype=float)
    found = most_alike(np.ones((36, 2)), places, 20, apart_px=2.0)
    for own, (place, others) in enumerate(zip(places, found, strict=True)):
        real = others[others >= 0]
        assert len(set(real)) == len(real) == min(20, len(real))
        assert own not in real
        assert (np.linalg.norm(places[real] - place, axis=1) > 2).all()
        assert len(real) == min(20, (np.linalg.norm(places - place, axis=1) > 2).sum())


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 3), (5, 0)])
def test_nothing_is_alike_without_others_or_without_features(shape: tuple[int, int]) -> None:
    places = 10.0 * np.arange(2 * shape[0]).reshape(-1, 2)
    assert most_alike(np.zeros(shape), places, 2).tolist() == [[-1, -1]] * shape[0]
