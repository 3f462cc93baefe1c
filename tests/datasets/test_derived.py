"""Reference scans: files that are found and checked, key points, classes, and the CSV table."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vaeopt as vo
from vaeopt.core.errors import DataError
from vaeopt.datasets import (
    AMBIGUOUS,
    REFERENCES,
    ReferenceScan,
    derived,
    reference,
    render,
    write_keypoints,
)
from vaeopt.datasets.lookup import DATA_DIR_VARIABLE, PublishedFile
from vaeopt.stages.keypoints import detect
from vaeopt.stages.micrograph import load

COUNTS = {
    "pzt-walls": (103, [148, 940]),
    "pzt-thick-walls": (108, [46, 1335]),
    "stripe-domain-walls": (147, [309, 686]),
    "mos2-vanadium-sites": (0, [888, 800, 800]),
    "mos2-defects-sites": (0, [477, 372, 375]),
    "oxide-layers": (70, [277, 140, 315]),
    "relaxor-regions": (246, [384, 639]),
}
"""ambiguous key points, and those of each class, with the published files"""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Take small arrays for the files of a reference scan."""
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))

    def publish(name: str, *contents: Any) -> None:
        entry = derived._ENTRIES[name]
        files = []
        for file, content in zip(entry.files, contents, strict=True):
            path = tmp_path / "below" / file.filename
            path.parent.mkdir(exist_ok=True)
            if isinstance(content, dict):
                np.savez(path, **content)
            else:
                np.save(path, content)
            files.append(
                PublishedFile(file.filename, hashlib.sha256(path.read_bytes()).hexdigest())
            )
        entries = {**derived._ENTRIES, name: replace(entry, files=tuple(files))}
        monkeypatch.setattr(derived, "_ENTRIES", entries)

    return publish


def real(name: str, monkeypatch: pytest.MonkeyPatch) -> ReferenceScan:
    """A reference scan from the published files, where they are."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get(DATA_DIR_VARIABLE) or beside)
    for file in derived._ENTRIES[name].files:
        if not any(folder.rglob(file.filename)):
            pytest.skip(f"no {file.filename} in {DATA_DIR_VARIABLE}, nor beside the project")
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    return reference(name)


def stripes(size: int = 64, period: int = 16) -> np.ndarray:
    """Bright and dark stripes along the columns."""
    column = np.arange(size)
    return np.tile(2.0 + np.sin(2 * np.pi * (column + 0.5) / period), (size, 1))


def small_pfm() -> dict[str, Any]:
    polarity = np.tile(np.arange(64) < 24, (64, 1))
    return {
        "amplitude": (stripes() * 1e-10).astype(np.float32),
        "phase_deg": np.where(polarity, 200.0, 20.0).astype(np.float32),
        "scan_size_m": np.float64(64e-8),
    }


def example(**changes: Any) -> ReferenceScan:
    fields: dict[str, Any] = {
        "name": "toy",
        "path": Path("toy.npz"),
        "channel": "image",
        "pixels": np.arange(400, dtype=np.float32).reshape(20, 20),
        "pixel_size_nm": None,
        "yx_px": np.asarray([(5.25, 6.5), (10.0, 1 / 3), (15.0, 15.0)]),
        "classes": np.asarray([1, AMBIGUOUS, 0]),
        "class_names": ("a, with a comma", "b"),
        "lengths_px": {},
        "length_px": None,
        "derived_from": "numbers",
        "limits": "few",
        "licence": "CC0",
        "citation": "none",
    }
    return ReferenceScan(**{**fields, **changes})


def refusal(name: str) -> DataError:
    with pytest.raises(DataError) as caught:
        reference(name)
    assert "\n" not in str(caught.value)
    return caught.value


# ---- tables and files ----------------------------------------------------------------------------


def test_file_names_are_unique_because_they_are_looked_up_by_name() -> None:
    names = [file.filename for entry in derived._ENTRIES.values() for file in entry.files]
    assert len(set(names)) == len(names)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    assert "did you mean 'oxide-layers'?" in str(refusal("oxide-layer"))


def test_without_a_data_folder_the_variable_and_the_files_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    error = refusal("mos2-defects-sites")
    assert error.setting == DATA_DIR_VARIABLE
    assert "MoS2_stem_Exp-001-5.npy and MoS2_stem_Exp-001-5_sites.npz" in str(error)


def test_a_missing_file_is_one_line_that_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    error = refusal("pzt-walls")
    assert "no PZT_final0001.npz in" in str(error)
    assert "https://github.com/pycroscopy/DTMicroscope" in str(error)
    assert "unset" not in str(error), "there is nothing to download"


def test_another_file_of_that_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    np.savez(tmp_path / "PZT_final0001.npz", amplitude=np.ones((9, 9)))
    assert "expected SHA-256" in str(refusal("pzt-walls"))


# ---- what is read off small files ----------------------------------------------------------------


def test_walls_are_edges_of_the_amplitude_at_changes_of_the_phase(
    published: Callable[..., None],
) -> None:
    published("pzt-walls", small_pfm())
    scan = reference("pzt-walls")
    assert scan.pixel_size_nm == pytest.approx(10.0)
    assert scan.pixels.dtype == np.float32
    distance = np.abs(scan.yx_px[:, 1] - 23.5)
    expected = np.where(distance <= 3, 0, np.where(distance > 6, 1, AMBIGUOUS))
    assert scan.classes.tolist() == expected.tolist()
    assert {0, 1} <= set(scan.classes.tolist())
    assert scan.path.name == "PZT_final0001.npz"


def test_sites_keep_their_order_and_fractions(published: Callable[..., None]) -> None:
    yx = np.asarray([(10.25, 20.5), (30.0, 5.125), (50.0, 60.0)], dtype=np.float32)
    labels = {
        "yx": yx,
        "site_class": np.asarray([0, 2, 1], dtype=np.uint8),
        "lattice_px": np.float64(20.0),
    }
    published("mos2-vanadium-sites", stripes(), labels)
    scan = reference("mos2-vanadium-sites")
    assert scan.yx_px.tolist() == yx.tolist()
    assert scan.classes.tolist() == [0, 2, 1]
    assert scan.pixel_size_nm == pytest.approx(0.0158)  # 0.316 nm in 20 px
    assert scan.lengths_px["nearest_sites"] == pytest.approx(11.547, abs=1e-3)
    assert scan.channel == "MoS2_stem_Exp-000-2"


def test_layers_are_as_far_apart_as_their_rows(published: Callable[..., None]) -> None:
    row = np.repeat(np.arange(4), 3).astype(np.int16)
    yx = np.stack([5.0 + 15 * row, np.tile([10.0, 30.0, 50.0], 4)], axis=1).astype(np.float32)
    layer = np.repeat([0, -1, 1, 2], 3).astype(np.int8)
    published("oxide-layers", {"image": stripes(), "yx": yx, "row": row, "layer_class": layer})
    scan = reference("oxide-layers")
    assert scan.length_px == 15.0
    assert scan.pixel_size_nm is None
    assert scan.classes.tolist() == layer.tolist()


def test_no_place_of_a_region_is_near_what_was_drawn(published: Callable[..., None]) -> None:
    size = 200
    region = np.zeros((size, size), dtype=np.uint8)
    region[:, :90], region[:, 110:] = 1, 2
    valid = np.ones((size, size), dtype=bool)
    valid[:40, :40] = False
    image = (stripes(size) * 60).astype(np.uint8)
    published("relaxor-regions", {"image": image, "valid": valid, "region": region})
    scan = reference("relaxor-regions")
    row, column = scan.yx_px.T
    assert set(region[row.astype(int), column.astype(int)]) == {1, 2}
    assert np.hypot(np.maximum(row - 39, 0), np.maximum(column - 39, 0)).min() >= 20
    assert set(scan.classes) == {AMBIGUOUS, 0, 1}
    assert column[scan.classes == 0].max() <= 70
    assert column[scan.classes == 1].min() >= 129


def test_pickled_arrays_are_not_loaded(published: Callable[..., None]) -> None:
    published("pzt-walls", {**small_pfm(), "phase_deg": np.asarray([{}], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        reference("pzt-walls")


# ---- the object ----------------------------------------------------------------------------------


def test_classes_are_found_by_place_in_any_order() -> None:
    scan = example()
    assert scan.classes_at(scan.yx_px[::-1]).tolist() == [0, AMBIGUOUS, 1]
    near_and_far = np.asarray([(15.7, 15.7), (16.0, 16.0), (0.0, 19.0)])
    assert scan.classes_at(near_and_far).tolist() == [0, AMBIGUOUS, AMBIGUOUS]
    assert scan.classes_at(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": np.zeros((20, 20))}, "float32"),
        ({"yx_px": np.zeros((0, 2)), "classes": np.zeros(0, dtype=np.int64)}, "n of 1 or more"),
        ({"yx_px": np.full((3, 2), 19.6)}, "outside the image"),
        ({"yx_px": np.full((3, 2), np.nan)}, "outside the image"),
        ({"classes": np.zeros(2, dtype=np.int64)}, "classes must be"),
        ({"classes": np.asarray([0, 1, 2])}, r"classes must be -1 \.\. 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        example(**changes)


# ---- the table -----------------------------------------------------------------------------------


def test_the_table_has_a_row_per_key_point(tmp_path: Path) -> None:
    write_keypoints(example(), tmp_path / "keypoints.csv")
    assert (tmp_path / "keypoints.csv").read_text().splitlines() == [
        "row_px,col_px,class,class_name",
        "5.25,6.5,1,b",
        "10.0,0.3333333333333333,-1,",
        '15.0,15.0,0,"a, with a comma"',
    ]


def test_a_study_finds_the_same_places_and_their_classes(tmp_path: Path) -> None:
    scan = example()
    np.savez(tmp_path / "toy.npz", image=scan.pixels, other=scan.pixels, yx=scan.yx_px)
    write_keypoints(scan, tmp_path / "keypoints.csv")
    image = load(vo.ImageSettings(path="toy.npz", channel="image"), folder=tmp_path)
    detector = vo.KeypointDetector.from_table({"kind": "csv", "path": "keypoints.csv"})
    found = detect(detector, image, largest_window_px=3, folder=tmp_path)
    inside = [0, 2]  # the second place is too close to the border
    assert np.array_equal(found.yx_px, scan.yx_px[inside])
    assert scan.classes_at(found.yx_px).tolist() == [1, 0]


def test_rendered_scans_have_a_table_too(tmp_path: Path) -> None:
    scan = render("ferroelectric-domains", seed=1)
    write_keypoints(scan, tmp_path / "keypoints.csv")
    assert len((tmp_path / "keypoints.csv").read_text().splitlines()) == 1 + len(scan.yx_px)


def test_a_table_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write key points to"):
        write_keypoints(example(), tmp_path / "missing" / "keypoints.csv")


# ---- the published files -------------------------------------------------------------------------


def test_every_reference_has_its_counts() -> None:
    assert set(COUNTS) == set(REFERENCES)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_published_files_give_these_classes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scan = real(name, monkeypatch)
    ambiguous, per_class = COUNTS[name]
    assert np.count_nonzero(scan.classes == AMBIGUOUS) == ambiguous
    assert np.bincount(scan.classes[scan.classes >= 0]).tolist() == per_class
    assert np.array_equal(scan.classes_at(scan.yx_px), scan.classes)
    assert all((scan.derived_from, scan.limits, scan.licence, scan.citation))
    settings = vo.ImageSettings(path=str(scan.path), channel=scan.channel)
    image = load(settings, folder=tmp_path)  # a study sees the same image
    low, high = image.scaling
    expected = np.clip((scan.pixels - low) / (high - low), 0, 1)
    assert np.allclose(image.pixels, expected, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in REFERENCES if n.endswith("walls")])
def test_the_polarity_is_that_stored_with_the_scan(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaeopt.datasets.labels import polarity_domains

    with np.load(real(name, monkeypatch).path, allow_pickle=False) as stored:
        domains = polarity_domains(stored["amplitude"], stored["phase_deg"])
        assert np.array_equal(domains, stored["domain_class"] == 1)
