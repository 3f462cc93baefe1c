"""The verb of the truth benchmark."""

import json
from pathlib import Path

import pytest

from tests.truth.tiny import FAMILIES, truth_folder, truth_text
from vaeopt.cli import main

SMALL = truth_text(families=FAMILIES[:1], trainings="seeds = 1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return truth_folder(tmp_path_factory.mktemp("bench"), SMALL)


def test_one_command_trains_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["truth", str(folder), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    wrote = [Path(line.removeprefix("wrote ")) for line in out.splitlines() if "wrote" in line]
    assert [path.name for path in wrote] == ["table.md", "summary.json", "truth.html"]
    assert all(path.stat().st_size > 100 for path in wrote)
    assert "missing" not in out


def test_the_summary_trains_nothing_and_machines_get_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "rows" / "lattice-medium-1.jsonl").read_bytes()
    assert main(["truth", str(folder), "--summary", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["trainings"], document["missing"]) == (4, 0)
    assert len(document["rewards"]) > 20
    assert json.loads((folder / "summary.json").read_text())["name"] == "tiny"
    assert (folder / "rows" / "lattice-medium-1.jsonl").read_bytes() == before


def test_what_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = truth_folder(tmp_path, SMALL)
    assert main(["truth", str(place), "--summary"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("no training on a scene")
    assert f"4 trainings are missing: vaeopt truth {place}" in out


def test_one_family_is_summarised_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = truth_folder(tmp_path, truth_text(trainings="seeds = 1"))
    assert main(["truth", str(place), "--only", "noise", "--quiet"]) == 0
    assert "missing" not in capsys.readouterr().out
    assert main(["truth", str(place), "--summary", "--only", "lattice"]) == 0
    out = capsys.readouterr().out
    assert f"4 trainings are missing: vaeopt truth {place} --only lattice" in out
    assert main(["truth", str(place), "--summary", "--only", "noise", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["controls"], document["trainings"], document["missing"]) == (["noise"], 4, 0)


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (SMALL.replace("epochs = 2", "epoch = 2"), [], "workflow.vae.epoch: unknown setting"),
        (SMALL, ["--only", "lattices"], "--only: no family 'lattices'"),
        (SMALL, ["--summary", "--only", "lattices"], "--only: no family 'lattices'"),
        (SMALL, ["--rescore"], "--rescore: latents of 4 of 4 trainings"),
        (truth_text(epochs=3, families=FAMILIES[:1], trainings="seeds = 1"), [], "made with other"),
    ],
)
def test_mistakes_take_one_line_and_status_2(
    folder: Path, text: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "truth.toml").write_text(text)
    try:
        assert main(["truth", str(folder), "--quiet", *words]) == 2
    finally:
        (folder / "truth.toml").write_text(SMALL)
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("vaeopt: ") for line in err.splitlines())
    assert told in err


def test_keeping_and_rescoring_are_two_things(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["truth", str(folder), "--keep", "--rescore"])
    assert left.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
