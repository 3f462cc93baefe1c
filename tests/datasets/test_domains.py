"""Laws of the rendered domain scan: the truth it carries is the truth of its pixels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature

from vaeopt.core.errors import DataError
from vaeopt.datasets import AMBIGUOUS, RenderedScan
from vaeopt.datasets.domains import (
    CLASS_NAMES,
    LENGTHS_PX,
    NAME,
    SMALLEST_PX,
    SYMMETRY,
    render_domains,
)

STRIPES, NEEDLES, HERRINGBONE, WALLS = range(4)
SEEDS = (0, 1, 2, 3)

Array = NDArray[Any]


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    return render_domains(seed=request.param)


@pytest.fixture(scope="module", params=SEEDS, ids="seed{}".format)
def clean(request: pytest.FixtureRequest) -> RenderedScan:
    """Without noise and without a tip."""
    return render_domains(seed=request.param, noise=0, blur_px=0)


def stripe_angle_rad(pixels: Array, scale_px: float) -> Array:
    """Direction of least change, from the structure tensor averaged over ``scale_px``."""
    down, right = np.gradient(ndimage.gaussian_filter(pixels.astype(float), 1.0))
    yy, yx, xx = (
        ndimage.gaussian_filter(a * b, scale_px)
        for a, b in ((down, down), (down, right), (right, right))
    )
    across = 0.5 * np.arctan2(2 * yx, xx - yy)
    return np.asarray(across + np.pi / 2)


def apart_rad(a: Array, b: Array, order: int) -> Array:
    """Distance of two angles modulo 2 pi / order, in [0, pi / order]."""
    return np.asarray(np.abs(np.angle(np.exp(1j * order * (a - b)))) / order)


def test_the_same_seed_gives_the_same_scan_bit_for_bit() -> None:
    first, second = render_domains(seed=5, size_px=160), render_domains(seed=5, size_px=160)
    for name in ("pixels", "class_map", "angle_rad"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_rendering_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    render_domains(seed=5, size_px=SMALLEST_PX)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(before) == str(after)


def test_another_seed_gives_another_image_and_another_truth() -> None:
    first, second = render_domains(seed=0), render_domains(seed=1)
    assert not np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.class_map, second.class_map)


def test_the_truth_does_not_depend_on_the_instrument() -> None:
    first = render_domains(seed=2)
    second = render_domains(seed=2, noise=0.3, blur_px=3)
    assert not np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.class_map, second.class_map)
    assert np.array_equal(first.angle_rad, second.angle_rad, equal_nan=True)


@pytest.mark.parametrize("size_px", [SMALLEST_PX, 160, 256, 301])
def test_planes_have_the_promised_shape_and_dtype(size_px: int) -> None:
    scan = render_domains(seed=1, size_px=size_px)
    assert scan.pixels.shape == scan.class_map.shape == scan.angle_rad.shape == (size_px, size_px)
    dtypes = [plane.dtype.name for plane in (scan.pixels, scan.class_map, scan.angle_rad)]
    assert dtypes == ["float32", "int16", "float32"]


def test_the_description_fits(scan: RenderedScan) -> None:
    assert scan.name == NAME
    assert scan.class_names == CLASS_NAMES
    assert scan.symmetry == SYMMETRY
    assert dict(scan.lengths_px) == dict(LENGTHS_PX)
    assert scan.pixel_size_nm == pytest.approx(7.8125)


def test_pixels_are_finite_and_positive(scan: RenderedScan) -> None:
    assert np.isfinite(scan.pixels).all()
    assert (scan.pixels > 0).all()


def test_pixels_are_finite_and_positive_without_an_instrument(clean: RenderedScan) -> None:
    assert np.isfinite(clean.pixels).all()
    assert (clean.pixels > 0).all()


def test_classes_are_known_or_ambiguous(scan: RenderedScan) -> None:
    assert set(np.unique(scan.class_map)) == {AMBIGUOUS, STRIPES, NEEDLES, HERRINGBONE, WALLS}


def test_an_angle_is_defined_exactly_where_a_class_is(scan: RenderedScan) -> None:
    assert np.array_equal(np.isnan(scan.angle_rad), scan.class_map == AMBIGUOUS)


def test_angles_lie_in_one_turn_of_their_symmetry(scan: RenderedScan) -> None:
    for kind, order in enumerate(scan.symmetry):
        angle = scan.angle_rad[scan.class_map == kind]
        assert angle.min() >= 0
        assert angle.max() < np.float32(2 * np.pi / order)


def test_every_class_has_its_share_of_the_area(scan: RenderedScan) -> None:
    share = np.bincount(scan.class_map.ravel() + 1, minlength=5) / scan.class_map.size
    assert share[0] < 0.4
    assert share[1:].min() > 0.08


@pytest.mark.parametrize("seed", range(12))
def test_the_smallest_scan_holds_all_classes(seed: int) -> None:
    scan = render_domains(seed=seed, size_px=SMALLEST_PX)
    share = np.bincount(scan.class_map.ravel() + 1, minlength=5) / scan.class_map.size
    assert share[1:].min() > 0.02


def test_a_change_of_class_is_never_sharp(scan: RenderedScan) -> None:
    for axis in (0, 1):
        before, after = (
            np.take(scan.class_map, np.arange(start, 256 + start - 1), axis=axis)
            for start in (0, 1)
        )
        known = (before != AMBIGUOUS) & (after != AMBIGUOUS)
        assert (before == after)[known].all()


def key_points(scan: RenderedScan, *, sigma_px: float, spacing_px: float = 5) -> Array:
    """Canny edge points, none nearer to another than the spacing; (n, 2)."""
    low, high = np.percentile(scan.pixels, [1, 95])
    image = np.clip((scan.pixels - low) / (high - low), 0, 1)
    canny: Any = feature.canny  # skimage leaves it untyped
    candidates = np.argwhere(canny(image, sigma=sigma_px))
    free = np.ones(image.shape, dtype=bool)
    rows, columns = np.indices(image.shape)
    kept = []
    for y, x in np.random.default_rng(0).permutation(candidates):
        if free[y, x]:
            kept.append((y, x))
            free[(rows - y) ** 2 + (columns - x) ** 2 < spacing_px**2] = False
    return np.array(kept)


@pytest.mark.parametrize("sigma_px", [1.5, 2, 3])
def test_key_points_are_many_and_no_class_is_rare(scan: RenderedScan, sigma_px: float) -> None:
    y, x = key_points(scan, sigma_px=sigma_px).T
    share = np.bincount(scan.class_map[y, x] + 1, minlength=5) / len(y)
    assert len(y) >= 500
    assert share[1:].min() > 0.08


@pytest.mark.parametrize(("kind", "scale_px"), [(STRIPES, 6.0), (NEEDLES, 4.0)])
def test_the_angle_of_stripes_is_their_direction(
    clean: RenderedScan, kind: int, scale_px: float
) -> None:
    inner = ndimage.binary_erosion(clean.class_map == kind, iterations=6)
    error = apart_rad(clean.angle_rad, stripe_angle_rad(clean.pixels, scale_px), 2)[inner]
    assert np.median(error) < np.deg2rad(2)
    assert np.quantile(error, 0.95) < np.deg2rad(10)


def test_the_angle_at_a_wall_is_the_direction_of_the_dark_line(clean: RenderedScan) -> None:
    at_wall = (clean.class_map == WALLS) & (clean.pixels < 0.3)
    error = apart_rad(clean.angle_rad, stripe_angle_rad(clean.pixels, 2.0), 2)[at_wall]
    assert np.median(error) < np.deg2rad(3)
    assert np.quantile(error, 0.95) < np.deg2rad(15)


def test_lamellae_of_a_herringbone_lie_at_45_degrees_to_its_rows(clean: RenderedScan) -> None:
    inner = ndimage.binary_erosion(clean.class_map == HERRINGBONE, iterations=4)
    turn = (clean.angle_rad - stripe_angle_rad(clean.pixels, 1.5))[inner]
    assert np.cos(4 * turn).mean() < -0.6
    assert abs(np.sin(2 * turn).mean()) < 0.2  # both variants, in equal parts


def test_the_steep_flank_of_a_stripe_rises_to_the_side_that_the_angle_says(
    clean: RenderedScan,
) -> None:
    down, right = np.gradient(clean.pixels.astype(float))
    rise = down * np.cos(clean.angle_rad) - right * np.sin(clean.angle_rad)
    stripes, count = ndimage.label(clean.class_map == STRIPES)
    for piece in range(1, count + 1):
        here = rise[stripes == piece]
        if here.size > 400:  # about one period of a grain
            assert (here**3).mean() > 0
            assert here.max() > 1.5 * -here.min()


def test_the_amplitude_vanishes_at_a_wall_and_only_there(clean: RenderedScan) -> None:
    walls = clean.class_map == WALLS
    # A wall may pass half-way between two rows of pixels: its darkest pixels are not quite dark.
    to_dark_px = ndimage.distance_transform_edt(clean.pixels > 0.45)
    assert to_dark_px[walls].max() < LENGTHS_PX["wall_reach"] + 1.5
    assert np.quantile(clean.pixels[walls & (to_dark_px == 0)], 0.1) < 0.1
    others = (clean.class_map != WALLS) & (clean.class_map != AMBIGUOUS)
    assert clean.pixels[others].min() > 0.1


def test_noise_is_what_it_says() -> None:
    noisy, clean = render_domains(seed=3, noise=0.04), render_domains(seed=3, noise=0)
    bright = clean.pixels > 0.4  # there the amplitude follows the in-phase part
    spread = (noisy.pixels - clean.pixels)[bright].std()
    assert spread == pytest.approx(0.04, rel=0.2)


def test_lines_of_the_slow_axis_have_offsets() -> None:
    noisy, clean = render_domains(seed=3, noise=0.04), render_domains(seed=3, noise=0)
    fault = noisy.pixels - clean.pixels
    assert fault.mean(axis=1).std() > 2 * fault.mean(axis=0).std()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("size_px", SMALLEST_PX - 1),
        ("noise", -0.1),
        ("noise", float("nan")),
        ("blur_px", float("inf")),
    ],
)
def test_an_argument_out_of_range_is_named(setting: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        render_domains(**{setting: value})
    assert caught.value.setting == setting
    assert "\n" not in str(caught.value)


def test_planes_that_do_not_fit_are_refused() -> None:
    scan = render_domains(seed=0, size_px=SMALLEST_PX)
    with pytest.raises(ValueError, match="class_map must be"):
        replace(scan, class_map=scan.class_map[1:])
    with pytest.raises(ValueError, match="angle_rad must be"):
        replace(scan, angle_rad=scan.angle_rad.astype(np.float64))
    with pytest.raises(ValueError, match="one symmetry order"):
        replace(scan, symmetry=(1, 2))
