"""Preferences, confirmation and re-scoring, as a user would type them."""

import json
import os
import signal
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import vaeopt as vo
from tests.study.tiny import ONE, contents, write_study
from vaeopt.cli import main
from vaeopt.study.fronts.pareto import front
from vaeopt.study.fronts.preferences import preferred, win_share
from vaeopt.study.results import confirm as confirming

COLLAPSED = '{ kind = "variance-product", minimum = 1e9 }'


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def again_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tiny-confirm", storage=f"sqlite:///{folder}/tiny.db")


def test_the_front_by_weights_and_by_score(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = vo.load_study(finished_copy)
    before = contents(finished_copy)
    for weights in ("gain=1", "fvu_core=1", "fvu_core=1,gain=2"):
        assert main(["best", str(finished_copy), "--weights", weights]) == 0
        table = rows(capsys.readouterr().out)
        assert table[0][-2:] == ["win_share", "distance"]
        wanted = {k: float(v) for k, v in (pair.split("=") for pair in weights.split(","))}
        assert [int(row[0]) for row in table[1:]] == [t.number for t in preferred(study, wanted)]
    assert main(["best", str(finished_copy), "--order-by", "gain"]) == 0
    table = rows(capsys.readouterr().out)
    expected = sorted(front(study), key=lambda trial: -trial.values[1])
    assert [int(row[0]) for row in table[1:]] == [trial.number for trial in expected]
    assert contents(finished_copy) == before


def test_json_carries_both_columns(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["best", str(finished_folder), "--weights", "gain=1", "--json"]) == 0
    share = win_share(vo.load_study(finished_folder))
    found = json.loads(capsys.readouterr().out)["trials"]
    assert {row["trial"]: row["win_share"] for row in found} == pytest.approx(
        {trial.number: share[trial.number] for trial in front(vo.load_study(finished_folder))}
    )
    assert [row["distance"] for row in found] == sorted(row["distance"] for row in found)


def test_confirm_says_what_it_found(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["confirm", str(finished_copy), "--top", "2", "--seeds", "2"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == "0 of 4 trials are finished"
    assert "fvu_core fresh" in out.splitlines()[0]
    assert [line.split(":")[0] for line in out.splitlines()[-4:-1]] == [
        "fvu_core",
        "gain",
        "distance",
    ]
    assert out.splitlines()[-1].startswith("trial ")
    assert main([*command, "--json"]) == 0
    again, err = capsys.readouterr()
    assert err == "", "nothing is left to train"
    table = json.loads(again)
    assert table["sentence"] == out.splitlines()[-1]
    assert table == vo.load_study(finished_copy).user_attrs["vaeopt:confirm"]
    assert main(["confirm", str(finished_copy), "--front", "--seeds", "1", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_confirm_stops_cleanly_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    assert main(["optimize", str(folder), "--quiet"]) == 0

    def told(self: object, epoch: int, epochs: int, loss_nats: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    command = ["confirm", str(folder), "--top", "1", "--seeds", "2"]
    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.report.terminal.Terminal.epoch", told)
        assert main(command) == 130
    line = "vaeopt: stopped; run the same command again to go on\n"
    assert capsys.readouterr().err.endswith(line)
    assert [t.state for t in again_of(folder).trials] == [TrialState.FAIL]
    assert main(command) == 0
    states = [t.state for t in again_of(folder).trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_trainings_that_fail_end_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    assert main(["optimize", str(folder), "--quiet"]) == 0
    capsys.readouterr()

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("no luck")

    monkeypatch.setattr(confirming, "retrain", broken)
    assert main(["confirm", str(folder), "--seeds", "2", "--quiet"]) == 1
    line = "vaeopt: 2 trainings failed; see vaeopt:failure in 'tiny-confirm'\n"
    assert capsys.readouterr().err == line


def test_nothing_feasible_is_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path, rewards=ONE, latent_filter=COLLAPSED, n_trials=1)
    assert main(["optimize", str(folder), "--timeout", "1e-9", "--quiet"]) == 0
    for command in (["confirm"], ["rescore", "--reward", "icl"]):
        capsys.readouterr()
        assert main([command[0], str(folder), *command[1:]]) == 3
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("vaeopt: no feasible trial yet: none is finished")
    assert main(["optimize", str(folder), "--quiet"]) == 3
    assert main(["confirm", str(folder)]) == 3
    capsys.readouterr()
    assert main(["rescore", str(folder), "--reward", "rate"]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 2, "collapsed trials are shown"


def test_a_rescored_reward_orders_the_front(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = '{ kind = "icl", weight = 0.5 }'
    command = ["rescore", str(finished_copy), "--reward", table, "--as", "tiny-icl"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert rows(out)[0][:5] == ["trial", "icl(w=0.5)", "feasible", "fvu_core", "gain"]
    feasible = [int(row[0]) for row in rows(out)[1:] if row[2] == "True"]
    assert main(["best", str(finished_copy), "--order-by", "icl(w=0.5)"]) == 0
    ordered = [int(row[0]) for row in rows(capsys.readouterr().out)[1:]]
    assert ordered == [number for number in feasible if number in ordered]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("vaeopt: --as: study 'tiny-icl' exists")


def test_trials_that_cannot_be_rescored_end_with_status_1(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = vo.load_study(finished_copy).trials[1].user_attrs["vaeopt:files"]
    (finished_copy / "artefacts" / ids["latents.npz"]).unlink()
    assert main(["rescore", str(finished_copy), "--reward", "icl"]) == 1
    out, err = capsys.readouterr()
    assert "1" not in [row[0] for row in rows(out)]
    (line,) = err.splitlines()
    assert line.startswith("vaeopt: trial 1 has no icl: file latents.npz of trial 1 is not in ")
