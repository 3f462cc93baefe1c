"""Every verb, as a user would type it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS, ONE, contents, stripes, write_study
from vaeopt.cli import main
from vaeopt.study.fronts.pareto import best, front

NOTHING = '{\n  "trials": [],\n  "verdict": null,\n  "truth": null\n}\n'
UNSCORABLE = '{ kind = "variance-product", minimum = 1e9 }'


def test_from_a_new_study_to_a_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("scan.npy", stripes())
    assert main(["new", "mine", "--image", "scan.npy"]) == 0
    assert capsys.readouterr().out == "wrote mine/study.toml\nnext: vaeopt check mine\n"
    write_study(tmp_path / "mine", name="mine", image='path = "../scan.npy"', n_trials=2)

    assert main(["check", "mine"]) == 0
    assert capsys.readouterr().out.endswith("study 'mine' is fine\n")

    assert main(["run", "mine", "--set", "patches.size_px=7", "--out", "once"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fvu_core ")
    assert out.splitlines()[-1] == "wrote once/model.safetensors"
    record = json.loads(Path("once/trial.json").read_text())
    assert record["settings"]["patches"]["size_px"] == 7
    assert list(record["values"]) == ["fvu_core", "gain"]
    assert vo.load_vae("once/model.safetensors").window_px == 7

    assert main(["optimize", "mine"]) == 0
    out, err = capsys.readouterr()
    assert "Pareto front" in out
    assert out.splitlines()[-2:] == [
        "study 'mine' in sqlite:///mine/mine.db",
        "next: vaeopt report mine",
    ]
    assert err.startswith("0 of 2 trials are finished\n")

    for command, last in (
        (["status", "mine"], None),
        (["best", "mine"], None),
        (["report", "mine"], "wrote mine/report/report.html"),
        (["report", "mine", "--out", "elsewhere"], "wrote elsewhere/report.html"),
        (["export", "mine", "--trial", "1", "--out", "ex"], "wrote ex/model.safetensors"),
        (["replay", "mine", "--trial", "best"], f"trial {best(vo.load_study('mine')).number} "),
    ):
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.splitlines()[-1].startswith(last or "")
    assert [name for name in contents(Path("mine")) if "/" not in name] == [
        "artefacts",
        "image.npy",
        "mine.db",
        "mine.db.lock",
        "report",
        "study.toml",
    ]


def test_status_and_best_read_only(finished_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(finished_copy)
    study = vo.load_study(finished_copy)
    assert main(["status", str(finished_copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "study     tiny"
    assert lines[1] == f"storage   sqlite:///{finished_copy}/tiny.db"
    assert lines[2].startswith(f"trials    {N_TRIALS} of {N_TRIALS} finished")
    assert main(["best", str(finished_copy)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [int(row.split()[0]) for row in rows] == [t.number for t in front(study)]
    assert contents(finished_copy) == before


def test_optimize_can_be_asked_for_more(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", str(finished_copy), "--n-trials", str(N_TRIALS + 1), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert len(vo.load_study(finished_copy).trials) == N_TRIALS + 1


def test_trials_can_be_asked_for_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    assert main(["optimize", str(folder), "--trials-at-once", "2"]) == 0
    study = vo.load_study(folder)
    assert [trial.user_attrs["vaeopt:batch"] for trial in study.trials] == [[0, 2], [1, 2]]
    capsys.readouterr()
    assert main(["optimize", str(folder), "--n-trials", "3"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("trials_at_once was 2 and is 1 from here on")
    assert main(["optimize", str(folder), "--n-trials", "3"]) == 0
    assert "trials_at_once" not in capsys.readouterr().err


def test_the_time_of_a_session_can_be_limited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, n_trials=50)
    assert main(["optimize", str(folder), "--timeout", "1e-9"]) == 0
    assert capsys.readouterr().out.startswith("study 'tiny' in ")


def test_a_study_is_created_once_and_joined_by_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    where = f"study 'tiny' in sqlite:///{folder}/tiny.db"
    next_line = f"next: vaeopt worker {folder}, as often as you like\n"
    assert main(["create", str(folder)]) == 0
    assert capsys.readouterr() == (f"created {where}\n{next_line}", "")
    assert main(["create", str(folder)]) == 0
    assert capsys.readouterr() == (f"{where} is there already, and is the same\n{next_line}", "")
    assert main(["worker", str(folder), "--n-trials", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "0 of 1 trials are finished"
    assert main(["worker", str(folder), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["status", str(folder)]) == 0
    assert "2 of 2 finished" in capsys.readouterr().out
    write_study(folder, rewards=ONE, n_trials=2, seed=1)
    assert main(["create", str(folder)]) == main(["worker", str(folder)]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith(("vaeopt: name: study 'tiny' was started", "vaeopt: seed: was 0"))


def test_without_a_feasible_trial_best_says_so_with_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path, rewards=ONE, latent_filter=UNSCORABLE, n_trials=1)
    assert main(["optimize", str(folder), "--timeout", "1e-9", "--quiet"]) == 0
    line = "vaeopt: no feasible trial yet: none is finished, or all have collapsed\n"
    for text, flags in (("", []), (NOTHING, ["--json"])):
        capsys.readouterr()
        assert main(["best", str(folder), *flags]) == 3
        assert capsys.readouterr() == (text, line), "nothing is finished"
    assert main(["optimize", str(folder), "--quiet"]) == 3
    assert capsys.readouterr().err == (
        "vaeopt: no feasible trial: all 1 have collapsed; the reasons stand in the report\n"
    )
    for text, flags in (("", []), (NOTHING, ["--json"])):
        capsys.readouterr()
        assert main(["best", str(folder), *flags]) == 3
        assert capsys.readouterr() == (text, line), "all have collapsed"
    assert main(["export", str(folder), "--out", str(tmp_path / "x")]) == 2
    assert "has 1 trials, all collapsed" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert main(["status", str(folder)]) == 0
    assert "1 of 1 finished, 1 collapsed" in capsys.readouterr().out
    assert main(["report", str(folder)]) == 0


def test_a_run_that_collapses_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, latent_filter=UNSCORABLE, search="")
    assert main(["run", str(tmp_path)]) == 0
    assert "collapsed: product of the variances" in capsys.readouterr().out


def test_a_diverged_run_can_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, vae="learning_rate = 1e30", search="")
    assert main(["run", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "(diverged)" in capsys.readouterr().out
    json.loads((tmp_path / "out" / "trial.json").read_text(), parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def test_a_storage_elsewhere_is_used_by_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "s", rewards=ONE, n_trials=1)
    url = ["--storage", f"sqlite:///{tmp_path}/far.db"]
    assert main(["optimize", str(folder), "--quiet", *url]) == 0
    for verb in (
        ["status"],
        ["best"],
        ["report"],
        ["export", "--out", str(tmp_path / "ex")],
        ["replay", "--trial", "0"],
    ):
        assert main([verb[0], str(folder), *verb[1:], *url]) == 0
    capsys.readouterr()
    assert main(["status", str(folder)]) == 2
    assert not (folder / "tiny.db").exists()


def test_kinds_answers_for_one_family_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds"]) == 0
    everything = capsys.readouterr().out
    assert main(["kinds", "reward"]) == 0
    assert capsys.readouterr().out in everything


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "vaeopt", "kinds"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with subprocess.Popen(  # noqa: S603  # this Python
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is written, as "| head -0" would
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 0
