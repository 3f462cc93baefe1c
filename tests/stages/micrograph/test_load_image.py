"""One image for a whole study: chosen, checked, clipped and mapped to [0, 1]."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.core.errors import DataError, SettingsError
from vaeopt.core.types import Micrograph
from vaeopt.datasets import render
from vaeopt.stages.micrograph import ImageSettings, load

RAW = np.random.default_rng(0).normal(5.0, 2.0, (20, 30))


def _load(folder: Path, array: NDArray[Any] = RAW, **settings: Any) -> Micrograph:
    np.save(folder / "scan.npy", array)
    return load(ImageSettings(path="scan.npy", **settings), folder=folder)


def _refused(folder: Path, array: NDArray[Any], **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        _load(folder, array, **settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---- scaling


def test_grey_values_between_the_percentiles_are_mapped_to_0_and_1(tmp_path: Path) -> None:
    micrograph = _load(tmp_path)
    low, high = np.percentile(RAW, [1, 95])
    assert micrograph.scaling == (low, high)
    expected = np.clip((RAW - low) / (high - low), 0, 1)
    np.testing.assert_allclose(micrograph.pixels, expected, atol=1e-6)
    assert (micrograph.pixels.min(), micrograph.pixels.max()) == (0.0, 1.0)


def test_percentiles_can_be_chosen(tmp_path: Path) -> None:
    micrograph = _load(tmp_path, clip_percentiles=(0.0, 100.0))
    assert micrograph.scaling == (RAW.min(), RAW.max())


def test_pixels_are_float32_and_cannot_be_written(tmp_path: Path) -> None:
    pixels = _load(tmp_path).pixels
    assert pixels.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1.0


def test_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    assert _load(tmp_path).name == "scan"


def test_the_pixel_size_can_be_given(tmp_path: Path) -> None:
    assert _load(tmp_path).pixel_size_nm is None
    assert _load(tmp_path, pixel_size_nm=2.5).pixel_size_nm == 2.5


def test_a_given_pixel_size_wins_over_that_of_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", amplitude=RAW, scan_size_m=3e-6)
    known = ImageSettings(path="a.npz")
    assert load(known, folder=tmp_path).pixel_size_nm == pytest.approx(100.0)
    given = ImageSettings(path="a.npz", pixel_size_nm=2.5)
    assert load(given, folder=tmp_path).pixel_size_nm == 2.5


# ---- identity


def test_the_same_pixels_have_the_same_digest(tmp_path: Path) -> None:
    assert _load(tmp_path).sha256 == _load(tmp_path, 3 * RAW - 7).sha256


@pytest.mark.parametrize("other", ["pixel", "clip", "shape"])
def test_other_pixels_have_another_digest(tmp_path: Path, other: str) -> None:
    if other == "clip":
        changed = _load(tmp_path, clip_percentiles=(2.0, 95.0))
    elif other == "shape":
        changed = _load(tmp_path, RAW.reshape(30, 20))
    else:
        array = RAW.copy()
        array[3, 4] += 1.0
        changed = _load(tmp_path, array)
    assert changed.sha256 != _load(tmp_path).sha256


# ---- channels


def _channels(folder: Path, wanted: str | None, *names: str) -> int:
    """Index of the channel that is chosen among ``names``."""
    arrays: dict[str, Any] = {name: RAW + 10 * i for i, name in enumerate(names)}
    np.savez(folder / "a.npz", **arrays)
    low, _ = load(ImageSettings(path="a.npz", channel=wanted), folder=folder).scaling
    return round((low - float(np.percentile(RAW, 1))) / 10)


@pytest.mark.parametrize(
    ("wanted", "names", "index"),
    [
        (None, ("only",), 0),
        ("phase", ("amplitude", "phase"), 1),
        ("amplitude", ("HeightRetrace", "AmplitudeRetrace"), 1),
        ("AmplitudeTrace", ("HeightRetrace", "AmplitudeRetrace"), 1),
        ("amplitude", ("AmplitudeTrace", "AmplitudeRetrace"), 0),
        ("AmplitudeRetrace", ("AmplitudeTrace", "AmplitudeRetrace"), 1),
        ("AMPLITUDE", ("height", "amplitude"), 1),
    ],
)
def test_a_channel_is_found_by_name_case_and_trace_left_aside(
    tmp_path: Path, wanted: str | None, names: tuple[str, ...], index: int
) -> None:
    assert _channels(tmp_path, wanted, *names) == index


def test_an_unknown_channel_hints_at_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image\.channel: no channel 'amplitud'; did you mean 'a"):
        _channels(tmp_path, "amplitud", "amplitude", "phase")


def test_several_channels_must_be_chosen_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 channels; name one of: amplitude, phase"):
        _channels(tmp_path, None, "amplitude", "phase")


def test_a_measured_scan_is_the_same_from_both_its_files(real_data: Path) -> None:
    both = [
        load(
            ImageSettings(path=f"PZT_final0001.{e}", channel="amplitude"), folder=real_data / "pfm"
        )
        for e in ("h5", "npz")
    ]
    np.testing.assert_array_equal(both[0].pixels, both[1].pixels)
    assert both[0].sha256 == both[1].sha256
    assert both[0].pixel_size_nm == pytest.approx(2000 / 256, rel=1e-6)
    assert both[1].pixel_size_nm == pytest.approx(2000 / 256, rel=1e-6)


# ---- images that cannot be used


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_value_are_counted(tmp_path: Path, bad: float) -> None:
    array = RAW.copy()
    array[2, 3] = array[5, 6] = bad
    assert "2 of 600 pixels of channel 'scan' are NaN or infinite" in _refused(tmp_path, array)


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    text = _refused(tmp_path, np.full((20, 30), 7.5))
    assert "'scan' is constant (7.5 everywhere)" in text


def test_an_image_constant_between_its_percentiles_is_refused(tmp_path: Path) -> None:
    array = np.zeros((20, 30))
    array[0, 0] = 1.0
    text = _refused(tmp_path, array)
    assert text.startswith("image.clip_percentiles: ")
    assert "constant between its percentiles 1 and 95" in text


@pytest.mark.parametrize("shape", [(7, 100), (100, 7)])
def test_a_small_image_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    text = _refused(tmp_path, np.random.default_rng(0).random(shape))
    assert f"the image is {shape[0]} x {shape[1]} px, smaller than 8 x 8" in text


def test_the_smallest_image_is_8_by_8(tmp_path: Path) -> None:
    assert _load(tmp_path, np.random.default_rng(0).random((8, 8))).pixels.shape == (8, 8)


def test_an_unknown_data_set_hints_at_the_nearest(tmp_path: Path) -> None:
    hint = "unknown data set 'pzt-2nm'; did you mean 'pzt-2um'?"
    with pytest.raises(DataError, match=rf"^image\.dataset: {re.escape(hint)}"):
        load(ImageSettings(dataset="pzt-2nm"), folder=tmp_path)


def test_a_rendered_data_set_is_decided_by_its_seed(tmp_path: Path) -> None:
    first, again, other = (
        load(ImageSettings(dataset="ferroelectric-domains", seed=seed), folder=tmp_path)
        for seed in (3, 3, 4)
    )
    assert first.sha256 == again.sha256 != other.sha256
    assert first.pixel_size_nm is not None


def test_a_preset_decides_the_picture_and_medium_is_what_is_left_out(tmp_path: Path) -> None:
    said, medium, hard = (
        load(ImageSettings(dataset="texture", difficulty=difficulty), folder=tmp_path)
        for difficulty in (None, "medium", "hard")
    )
    assert said.sha256 == medium.sha256 != hard.sha256


def test_only_rendered_images_bring_places_along(tmp_path: Path) -> None:
    assert _load(tmp_path).yx_px is None
    rendered = load(ImageSettings(dataset="noise", seed=2), folder=tmp_path)
    assert rendered.yx_px is not None
    np.testing.assert_array_equal(rendered.yx_px, render("noise", seed=2).yx_px)


# ---- settings


@pytest.mark.parametrize("table", [{}, {"path": "a.npy", "dataset": "domains"}])
def test_one_source_must_be_given(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="give either path or dataset"):
        ImageSettings(**table)


@pytest.mark.parametrize("value", [[95, 1], [5, 5], [-1, 95], [1, 101], [1]])
def test_percentiles_must_rise_from_0_to_100(value: list[float]) -> None:
    table: dict[str, Any] = {"path": "a.npy", "clip_percentiles": value}
    with pytest.raises(SettingsError, match="clip_percentiles"):
        ImageSettings(**table)


@pytest.mark.parametrize("table", [{"path": "a.npy"}, {"dataset": "pzt-2um"}])
def test_only_rendered_images_have_presets(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        ImageSettings(difficulty="hard", **table)
    assert caught.value.lines == ["difficulty: only rendered data sets have presets; leave it out"]


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        ImageSettings(dataset="ferroelectric-domains", difficulty="mix")
    assert caught.value.lines == [
        "difficulty: 'ferroelectric-domains' has no preset 'mix'; did you mean 'mixed'? "
        "(known: easy, hard, medium, mixed)"
    ]


def test_of_an_unknown_data_set_the_name_is_refused_and_not_the_preset(tmp_path: Path) -> None:
    settings = ImageSettings(dataset="textur", difficulty="simple")
    with pytest.raises(DataError, match=r"^image\.dataset: unknown data set 'textur'"):
        load(settings, folder=tmp_path)
