"""Readers: every format gives channels as a viewer shows them, every bad file gives one line."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from skimage import io

from vaeopt.core.errors import DataError
from vaeopt.stages.micrograph.readers import read

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (24, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (24, 30, 3), dtype=np.uint8)


def _nsid(path: Path, channels: dict[str, tuple[str, np.ndarray]], *, units: str = "m") -> Path:
    """A file as sidpy writes it: one group per channel with a data set and its two axes."""
    with h5py.File(path, "w") as file:
        for name, (quantity, array) in channels.items():
            group = file.create_group(f"Measurement_000/{name}/{name}")
            data = group.create_dataset(name, data=array)
            data.attrs["DIMENSION_LABELS"] = ["x", "y"]
            data.attrs["quantity"] = quantity
            for axis, n in zip("xy", array.shape, strict=True):
                group[axis] = np.linspace(0, 3e-6, n)
                group[axis].attrs["units"] = units
        file["Measurement_000/comment"] = "no image"
    return path


# ---- HDF5


@pytest.mark.parametrize("name", ["PZT_final0001", "PTO_Funakubo0005"])
def test_a_measured_scan_reads_as_the_npz_beside_it(real_data: Path, name: str) -> None:
    scan = read(real_data / "pfm" / f"{name}.h5")
    with np.load(real_data / "pfm" / f"{name}.npz") as expected:
        for channel, quantity in {
            "amplitude": "AmplitudeRetrace",
            "height": "HeightRetrace",
        }.items():
            np.testing.assert_array_equal(
                scan.channels[quantity].astype(np.float32), expected[channel]
            )
        assert scan.pixel_size_nm == pytest.approx(float(expected["scan_size_m"]) / 256 * 1e9)


def test_the_pixel_size_of_a_measured_scan_is_scan_size_over_pixels(real_data: Path) -> None:
    scan = read(real_data / "pfm" / "PZT_final0001.h5")
    assert scan.pixel_size_nm == pytest.approx(2000 / 256, rel=1e-6)


def test_pynsid_arrays_are_turned_so_that_row_0_is_on_top(tmp_path: Path) -> None:
    fast_slow = np.zeros((20, 30))
    fast_slow[4, 0] = 1.0  # fast axis to the right, slow axis upwards: column 4 of the last row
    scan = read(_nsid(tmp_path / "a.h5", {"A": ("Amplitude", fast_slow)}))
    image = scan.channels["Amplitude"]
    assert image.shape == (30, 20)
    assert np.argwhere(image).tolist() == [[29, 4]]


@pytest.mark.parametrize(("units", "size_nm"), [("m", 100.0), ("um", 1e-4), ("furlong", None)])
def test_the_pixel_size_follows_the_unit_of_the_axis(
    tmp_path: Path, units: str, size_nm: float | None
) -> None:
    array = RNG.random((30, 30))
    scan = read(_nsid(tmp_path / "a.h5", {"A": ("Amplitude", array)}, units=units))
    assert scan.pixel_size_nm == (None if size_nm is None else pytest.approx(size_nm))


def test_two_channels_of_the_same_quantity_are_both_kept(tmp_path: Path) -> None:
    first, second = RNG.random((9, 9)), RNG.random((9, 9))
    scan = read(_nsid(tmp_path / "a.h5", {"A": ("Amp", first), "B": ("Amp", second)}))
    assert list(scan.channels) == ["Amp", "Measurement_000/B/B/B"]
    np.testing.assert_array_equal(scan.channels["Measurement_000/B/B/B"], second.T[::-1])


def test_plain_hdf5_gives_its_2d_data_sets_by_path_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["scan/image"] = GREY
        file["scan/cube"] = np.zeros((3, 9, 9))
        file["scan/axis"] = np.arange(9)
        file["scan/mask"] = GREY > 100
        file["words"] = [["a", "b"], ["c", "d"]]
    scan = read(tmp_path / "a.hdf5")
    assert list(scan.channels) == ["scan/image"]
    np.testing.assert_array_equal(scan.channels["scan/image"], GREY)
    assert scan.pixel_size_nm is None


# ---- NumPy


def test_npy_gives_one_channel_called_after_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", GREY)
    scan = read(tmp_path / "scan.npy")
    assert list(scan.channels) == ["scan"]
    np.testing.assert_array_equal(scan.channels["scan"], GREY)


def test_npz_gives_its_2d_arrays_and_the_pixel_size(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", amplitude=GREY, phase=GREY[::-1], line=np.arange(5), scan_size_m=3e-6
    )
    scan = read(tmp_path / "a.npz")
    assert list(scan.channels) == ["amplitude", "phase"]
    np.testing.assert_array_equal(scan.channels["phase"], GREY[::-1])
    assert scan.pixel_size_nm == pytest.approx(3000 / 30)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_pickled_objects_are_refused(tmp_path: Path, ending: str) -> None:
    objects = np.array([[{}, {}], [{}, {}]], dtype=object)
    path = tmp_path / f"a.{ending}"
    with path.open("wb") as file:
        if ending == "npy":
            np.save(file, objects, allow_pickle=True)
        else:
            np.savez(file, a=objects)
    with pytest.raises(DataError, match="allow_pickle=False"):
        read(path)


# ---- pictures


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "PNG"])
def test_a_grey_picture_gives_its_values(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    io.imsave(path, GREY, check_contrast=False)
    scan = read(path)
    assert list(scan.channels) == ["grey"]
    np.testing.assert_array_equal(scan.channels["grey"], GREY)


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    deep = RNG.integers(0, 2**16, (24, 30), dtype=np.uint16)
    io.imsave(tmp_path / "a.png", deep, check_contrast=False)
    np.testing.assert_array_equal(read(tmp_path / "a.png").channels["grey"], deep)


@pytest.mark.parametrize("opacity", [False, True])
def test_a_colour_picture_gives_luminance_and_colours(tmp_path: Path, opacity: bool) -> None:
    veil = np.full((24, 30, 1), 77, dtype=np.uint8)
    array = np.concatenate([COLOUR, veil], axis=2) if opacity else COLOUR
    io.imsave(tmp_path / "a.png", array, check_contrast=False)
    scan = read(tmp_path / "a.png")
    assert list(scan.channels) == ["grey", "red", "green", "blue"]
    np.testing.assert_array_equal(scan.channels["green"], COLOUR[..., 1])
    luminance = COLOUR @ np.array([0.2125, 0.7154, 0.0721])
    np.testing.assert_allclose(scan.channels["grey"], luminance, rtol=1e-12)


def test_grey_with_opacity_is_grey(tmp_path: Path) -> None:
    veil = np.full_like(GREY, 77)
    io.imsave(tmp_path / "a.png", np.stack([GREY, veil], axis=2), check_contrast=False)
    scan = read(tmp_path / "a.png")
    assert list(scan.channels) == ["grey"]
    np.testing.assert_array_equal(scan.channels["grey"], GREY)


# ---- files that cannot be used


def _message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("image.path: ")
    assert path.name in text
    return text


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert "does not exist" in _message(tmp_path / "none.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert "is a folder, not an image" in _message(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["scan.ibw", "scan"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"abc")
    text = _message(tmp_path / name)
    assert "no reader for" in text
    assert ".h5 .hdf5" in text


def test_a_file_without_a_2d_image_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(9))
    assert "holds no two-dimensional image" in _message(tmp_path / "a.npy")


def _write_npz(path: Path) -> None:
    np.savez_compressed(path, a=RNG.random((24, 30)))


def _write_npy(path: Path) -> None:
    np.save(path, RNG.random((24, 30)))


def _write_h5(path: Path) -> None:
    _nsid(path, {"A": ("Amplitude", RNG.random((24, 30)))})


def _write_picture(path: Path) -> None:
    io.imsave(path, GREY, check_contrast=False)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _cut_short(content: bytes) -> bytes:
    return content[:6]


def _scratch(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + b"\xa5" * 40 + content[middle + 40 :]


def _break_first_chunk(content: bytes) -> bytes:
    return content[:10] + b"\xff" * 8 + content[18:]


def _empty(content: bytes) -> bytes:
    return content[:0]


@pytest.mark.parametrize(
    ("ending", "write", "damage"),
    [
        ("npz", _write_npz, _cut),
        ("npz", _write_npz, _scratch),
        ("npz", _write_npz, _empty),
        ("npy", _write_npy, _cut),
        ("npy", _write_npy, _cut_short),
        ("h5", _write_h5, _cut),
        ("h5", _write_h5, _empty),
        ("png", _write_picture, _cut),
        ("png", _write_picture, _break_first_chunk),
        ("tif", _write_picture, _cut),
        ("tif", _write_picture, _cut_short),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path,
    ending: str,
    write: Callable[[Path], None],
    damage: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / f"scan.{ending}"
    write(path)
    path.write_bytes(damage(path.read_bytes()))
    assert f"scan.{ending} cannot be read as .{ending}: " in _message(path)


def test_a_damaged_measured_scan_is_one_line(real_data: Path, tmp_path: Path) -> None:
    content = bytearray((real_data / "pfm" / "PZT_final0001.h5").read_bytes())
    content[1500:1564] = b"\xa5" * 64  # in the table of its groups
    (tmp_path / "scan.h5").write_bytes(bytes(content))
    assert "cannot be read as .h5" in _message(tmp_path / "scan.h5")
