"""Verdict and truth of a study, as a user would ask for them."""

import json
from pathlib import Path

import pytest

import vaeopt as vo
from tests.study.tiny import write_study
from vaeopt.cli import main
from vaeopt.study.results.verdict import verdict_of

REWARDS = '[ { kind = "reconstruction" }, { kind = "descriptor-ami" } ]'


def finish(
    folder: Path, capsys: pytest.CaptureFixture[str], n_trials: int = 2, **pieces: str
) -> list[str]:
    """A study of a rendered lattice; what ``optimize`` printed."""
    write_study(
        folder,
        image='dataset = "lattice"',
        keypoints='"given"',
        rewards=REWARDS,
        components="[1, 6]",
        search='"patches.size_px" = { choices = [9, 13] }',
        n_trials=n_trials,
        **pieces,
    )
    capsys.readouterr()
    main(["optimize", str(folder), "--quiet"])
    return capsys.readouterr().out.splitlines()


def test_optimize_and_best_end_with_the_verdict_and_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "atoms"
    shown = finish(folder, capsys)
    verdict = verdict_of(vo.load_study(folder))
    assert verdict is not None
    assert shown[-3] == verdict.sentence
    study = str(folder)
    assert main(["best", study]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == verdict.sentence
    assert main(["status", study, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict.to_table()

    assert main(["best", study, "--order-by", "descriptor_ami", "--truth"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = int(lines[1].split()[0])
    at = lines.index(verdict.sentence)
    assert lines[at + 1].startswith("truth: ")
    assert any(line.startswith(f"trial {first}: adjusted Rand index ") for line in lines[at:])
    assert lines[-1].startswith("the verdict on structure is ")

    assert main(["best", study, "--truth", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == verdict.to_table()
    by = [one["by"] for one in found["truth"]["picks"]]
    assert by == ["pick", "fvu_core", "descriptor_ami", "truth"]
    assert found["truth"]["picks"][0]["trial"] == vo.best(vo.load_study(folder)).number
    assert set(found["truth"]["truths"]) == {"0", "1"}


def test_an_image_without_a_truth_is_refused_in_one_line(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["best", str(finished_folder), "--truth"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vaeopt: --truth: nobody knows the truth of image 'image.npy'; ")
    assert err.count("\n") == 1


def test_where_all_collapsed_the_verdict_is_judged_and_nothing_is_picked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unscorable = '{ kind = "variance-product", minimum = 1e9 }'
    finish(tmp_path / "atoms", capsys, 1, latent_filter=unscorable)
    assert main(["best", str(tmp_path / "atoms"), "--truth"]) == 3
    out, err = capsys.readouterr()
    assert out.startswith("no structure: the only finished trial has collapsed or ")
    assert "no trial can be picked: all have collapsed\n" in out
    assert out.endswith("the verdict on structure is wrong\n")
    assert err.endswith("vaeopt: no feasible trial yet: none is finished, or all have collapsed\n")
