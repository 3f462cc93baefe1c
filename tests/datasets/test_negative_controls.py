"""Negative controls: the same everywhere, one class, and what the presets say is there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.core.errors import DataError
from vaeopt.datasets import RenderedScan, render
from vaeopt.datasets.noise import PRESETS as NOISES
from vaeopt.datasets.noise import render_noise
from vaeopt.datasets.texture import PRESETS as TEXTURES
from vaeopt.datasets.texture import SMALLEST_PX, render_texture

Array = NDArray[Any]
CASES = [("texture", difficulty) for difficulty in TEXTURES]
CASES += [("noise", difficulty) for difficulty in NOISES]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    name, difficulty = request.param
    return render(name, seed=1, difficulty=difficulty)


def power(pixels: Array) -> tuple[Array, Array, Array]:
    """Power of the picture, and frequency along rows and columns [1/px]."""
    tapered = (pixels - pixels.mean()) * np.outer(*(np.hanning(n) for n in pixels.shape))
    frequency = np.meshgrid(*(np.fft.fftfreq(n) for n in pixels.shape), indexing="ij")
    return np.abs(np.fft.fft2(tapered)) ** 2, frequency[0], frequency[1]


def test_there_is_one_class_and_it_is_everywhere(scan: RenderedScan) -> None:
    assert scan.n_classes == 1
    assert (scan.class_map == 0).all()
    assert (scan.classes_at(scan.yx_px) == 0).all()


def test_places_are_as_many_as_a_study_has(scan: RenderedScan) -> None:
    assert 500 <= len(scan.yx_px) <= 900


def test_quarters_of_the_image_look_alike(scan: RenderedScan) -> None:
    """What differs is the slow background and chance; a second texture would be worse."""
    half = scan.pixels.shape[0] // 2
    quarters = [
        scan.pixels[rows, columns]
        for rows in (slice(half), slice(half, None))
        for columns in (slice(half), slice(half, None))
    ]
    levels = np.array([np.median(quarter) for quarter in quarters])
    spreads = np.array([np.ptp(np.percentile(quarter, [10, 90])) for quarter in quarters])
    counts = [
        int(((scan.yx_px[:, 0] >= half) == i).astype(int) @ ((scan.yx_px[:, 1] >= half) == j))
        for i in (0, 1)
        for j in (0, 1)
    ]
    assert np.ptp(levels) < 0.35 * levels.mean()
    assert np.ptp(spreads) < 0.6 * spreads.mean()
    assert min(counts) > 0.15 * len(scan.yx_px)


def test_only_stripes_have_an_angle(scan: RenderedScan) -> None:
    aligned = (scan.name, scan.difficulty) == ("texture", "hard")
    assert scan.symmetry == ((2,) if aligned else (0,))
    assert aligned == bool(scan.angle_rad.any())


@pytest.mark.parametrize("seed", range(4))
def test_stripes_run_where_the_angle_says(seed: int) -> None:
    scan = render_texture(seed=seed, difficulty="hard")
    down, right = np.gradient(ndimage.gaussian_filter(scan.pixels.astype(float), 1.0))
    along = down * np.sin(scan.angle_rad) + right * np.cos(scan.angle_rad)
    across = down * np.cos(scan.angle_rad) - right * np.sin(scan.angle_rad)
    assert along.var() < 0.2 * across.var()
    assert np.abs(np.exp(2j * scan.angle_rad).mean()) > 0.95  # one direction all over


@pytest.mark.parametrize(("difficulty", "period_px"), [("easy", 20.0), ("hard", 10.0)])
def test_the_period_is_the_one_that_is_told(difficulty: str, period_px: float) -> None:
    scan = render_texture(seed=2, difficulty=difficulty, noise=0)
    strength, rows, columns = power(scan.pixels)
    frequency = np.hypot(rows, columns)
    seen = frequency > 0.02  # slower is background
    mean = (strength * frequency)[seen].sum() / strength[seen].sum()
    assert 1 / mean == pytest.approx(period_px, rel=0.15)
    assert scan.lengths_px == {"period": period_px}


@pytest.mark.parametrize("difficulty", ["easy", "medium"])
def test_a_texture_without_angle_has_no_direction(difficulty: str) -> None:
    turns = []
    for seed in range(4):
        strength, rows, columns = power(render_texture(seed=seed, difficulty=difficulty).pixels)
        seen = (np.hypot(rows, columns) > 0.02) & (np.abs(rows) < 0.3)  # line offsets left out
        angle = np.arctan2(rows, columns)
        turns.append((strength * np.exp(2j * angle))[seen].sum() / strength[seen].sum())
    assert abs(np.mean(turns)) < 0.15


@pytest.mark.parametrize("difficulty", NOISES)
def test_noise_is_correlated_as_far_as_it_says(difficulty: str) -> None:
    pixels = render_noise(seed=3, difficulty=difficulty).pixels.astype(float)
    away = pixels - pixels.mean()
    reach = 2 * NOISES[difficulty].correlation_px  # there a smoothed field has lost 1 - 1/e
    if not reach:
        assert abs((away[1:] * away[:-1]).mean()) < 0.02 * away.var()
        return
    lag = round(reach)
    kept = (away[:, lag:] * away[:, :-lag]).mean() / away.var()
    assert kept == pytest.approx(np.exp(-1), abs=0.12)


def test_only_hard_noise_has_offsets_from_line_to_line() -> None:
    jumps = {}
    for difficulty in NOISES:
        pixels = render_noise(seed=3, difficulty=difficulty).pixels
        jumps[difficulty] = np.diff(pixels.mean(axis=1)).std() / np.diff(pixels.mean(axis=0)).std()
    assert jumps["hard"] > 2
    assert max(jumps["easy"], jumps["medium"]) < 1.3


@pytest.mark.parametrize("family", [render_texture, render_noise])
@pytest.mark.parametrize(
    ("setting", "value"), [("seed", -1), ("size_px", SMALLEST_PX - 1), ("difficulty", "simple")]
)
def test_an_argument_out_of_range_is_named(family: Any, setting: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        family(**{setting: value})
    assert caught.value.setting == setting
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("setting", "value"), [("noise", -0.1), ("blur_px", float("nan"))])
def test_an_instrument_out_of_range_is_named(setting: str, value: float) -> None:
    with pytest.raises(DataError) as caught:
        render_texture(**{setting: value})  # type: ignore[arg-type]
    assert caught.value.setting == setting
