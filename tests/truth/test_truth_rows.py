"""Files of rows: nothing finished is lost, nothing half written is believed."""

from pathlib import Path
from typing import Any

import pytest

from vaeopt.core.errors import ChangedError, StudyError
from vaeopt.truth import Row, Scene
from vaeopt.truth.rows import Header, SceneRows, claimed, read_rows, refuse_changes

TRAINING = {"image_sha256": "a", "keypoints_sha256": "b", "comparison": {}, "seed": 0}
IDENTITY = {"training": {**TRAINING, "workflow": {"epochs": 3}}, "scoring": {"version": 1}}


def row(seed: int = 0, **fields: Any) -> Row:
    standard: dict[str, Any] = {
        "params": {"vae.latent_dim": 2},
        "seed": seed,
        "margin": -1.0,
        "truth": {"ari_true_k": 0.123456789, "k_error": 1, "knn15": None},
        "scores": {"gain": 0.5, "icl": float("nan")},
        "epochs": 3,
        "seconds": 1.5,
    }
    return Row(**{**standard, **fields})


def begun(place: Path) -> SceneRows:
    rows = read_rows(place / "rows" / "noise-easy-1.jsonl")
    rows.begin(Header(scene=Scene("noise", "easy", 1), identity=IDENTITY, facts={"classes": ["a"]}))
    return rows


def test_rows_come_back_with_six_digits(tmp_path: Path) -> None:
    rows = begun(tmp_path)
    rows.append(row())
    rows.append(row(1, margin=2.0, reason="collapsed"))
    again = read_rows(rows.path)
    assert again.header is not None
    assert again.header.scene == Scene("noise", "easy", 1)
    first, second = again.rows.values()
    assert first.truth == {"ari_true_k": 0.123457, "k_error": 1, "knn15": None}
    assert first.scores == {"gain": 0.5, "icl": None}
    assert (first.feasible, second.feasible, second.reason) == (True, False, "collapsed")


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    rows = read_rows(tmp_path / "rows" / "noise-easy-1.jsonl")
    assert rows.header is None
    assert rows.rows == {}


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_line_is_dropped_and_only_its_owner_repairs_it(tmp_path: Path, cut: int) -> None:
    rows = begun(tmp_path)
    rows.append(row())
    whole = rows.path.read_bytes()
    rows.append(row(1))
    torn = rows.path.read_bytes()[: len(whole) + cut]
    rows.path.write_bytes(torn)
    assert list(read_rows(rows.path).rows) == [row().key]
    assert rows.path.read_bytes() == torn
    repaired = read_rows(rows.path, repair=True)
    assert rows.path.read_bytes() == whole
    repaired.append(row(1))
    assert list(read_rows(rows.path).rows) == [row().key, row(1).key]


def test_a_header_that_was_torn_begins_anew(tmp_path: Path) -> None:
    rows = begun(tmp_path)
    rows.path.write_bytes(rows.path.read_bytes()[:-5])
    assert read_rows(rows.path, repair=True).header is None
    assert rows.path.read_bytes() == b""


def test_a_line_in_the_middle_that_is_no_row_is_told(tmp_path: Path) -> None:
    rows = begun(tmp_path)
    rows.append(row())
    lines = rows.path.read_text().splitlines()
    rows.path.write_text("\n".join([lines[0], '{"params": 3}', lines[1]]) + "\n")
    with pytest.raises(StudyError, match=r"line 2 of .* is not a row of a truth benchmark"):
        read_rows(rows.path)


@pytest.mark.parametrize(
    "damage",
    [
        (b'"margin":-1.0', b'"margin":null'),
        (b'"margin":-1.0', b'"margin":"low"'),
        (b'"gain":0.5', b'"gain":"\xff"'),
        (b'"gain":0.5', b'"gain":[]'),
        (b'"params":{"vae.latent_dim":2}', b'"params":null'),
        (b'"k_error":1', b'"k_error":"one"'),
        (b'"seed":0', b'"seed":null'),
    ],
)
def test_a_damaged_row_is_told_by_its_line(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    rows = begun(tmp_path)
    rows.append(row())
    head, line = rows.path.read_bytes().splitlines()
    assert damage[0] in line
    rows.path.write_bytes(head + b"\n" + line.replace(*damage) + b"\n")
    with pytest.raises(StudyError, match=r"^line 2 of .*; remove the line, and what it held"):
        read_rows(rows.path)


@pytest.mark.parametrize(
    "damage",
    [
        (b'"classes":["a"]', b""),
        (b'"classes":["a"]', b'"classes":3'),
        (b'"training":', b'"trainings":'),
        (b'"noise"', b'"\xff"'),
        (b'"identity":', b'"entity":'),
        (b'"comparison":{}', b'"comparison":null'),
        (b'"image_sha256":"a"', b'"image_sha256":null'),
        (b'{"facts"', b'["facts"'),
    ],
)
def test_a_damaged_header_costs_the_file(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    rows = begun(tmp_path)
    rows.append(row())
    head, line = rows.path.read_bytes().splitlines()
    assert damage[0] in head
    rows.path.write_bytes(head.replace(*damage) + b"\n" + line + b"\n")
    with pytest.raises(StudyError, match=r"^the first line of .*; delete the file, and what"):
        read_rows(rows.path)


def test_what_differs_is_named(tmp_path: Path) -> None:
    rows = begun(tmp_path)
    refuse_changes(rows, IDENTITY)
    changed = {"training": {**TRAINING, "workflow": {"epochs": 4}}, "scoring": {"version": 2}}
    with pytest.raises(ChangedError) as refused:
        refuse_changes(rows, changed)
    assert refused.value.lines[1:] == [
        "scoring.version: was 1, is 2",
        "training.workflow.epochs: was 3, is 4",
    ]
    refuse_changes(rows, {**IDENTITY, "scoring": {"version": 2}}, parts=("training",))


def test_two_processes_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "noise-easy-1.jsonl"
    with (
        claimed(path),
        pytest.raises(StudyError, match="another process works on"),
        claimed(path),
    ):
        raise AssertionError("both have claimed it")
    with claimed(path):
        assert path.with_suffix(".lock").exists()
