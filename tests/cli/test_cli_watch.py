"""A study that runs elsewhere, looked at again and again."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

import vaeopt as vo
from tests.report.emulator import Screen, window
from tests.study.tiny import N_TRIALS, contents
from vaeopt.cli import main, watch
from vaeopt.study.attributes import FAILURE, WORKER
from vaeopt.study.processes.process import worker_name
from vaeopt.study.storage import StorageError


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What happens between two looks, instead of waiting."""
    todo: list[Callable[[], None]] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: todo.pop(0)())
    return todo


def test_a_finished_study_is_looked_at_once(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_folder)
    assert main(["status", str(finished_folder), "--watch"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{N_TRIALS} of {N_TRIALS} finished, ")
    assert contents(finished_folder) == before


def test_a_file_gets_a_line_where_something_has_changed(
    finished_copy: Path, capsys: pytest.CaptureFixture[str], steps: list[Callable[[], None]]
) -> None:
    study = vo.load_study(finished_copy)
    template = study.trials[0]
    steps += [lambda: None, lambda: study.add_trial(template)]
    command = ["status", str(finished_copy), "--watch", "0.5", "--n-trials", str(N_TRIALS + 1)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(N_TRIALS), str(N_TRIALS + 1)]


def test_machines_get_a_document_per_line(
    finished_copy: Path, capsys: pytest.CaptureFixture[str], steps: list[Callable[[], None]]
) -> None:
    study = vo.load_study(finished_copy)
    template = study.trials[0]
    steps += [lambda: study.add_trial(template)]
    words = ["--watch", "1", "--json", "--n-trials", str(N_TRIALS + 1)]
    assert main(["status", str(finished_copy), *words]) == 0
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [look["finished"] for look in looks] == [N_TRIALS, N_TRIALS + 1]
    assert [look["done"] for look in looks] == [False, True]


def test_a_terminal_shows_it_in_one_place(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Callable[[], None]]
) -> None:
    study = vo.load_study(finished_copy)
    template = study.trials[0]
    steps += [lambda: study.add_trial(template)]
    monkeypatch.setenv("TERM", "xterm")
    with window(60) as place:
        monkeypatch.setattr(sys, "stdout", place.stream)
        assert main(["status", str(finished_copy), "--watch", "--n-trials", str(N_TRIALS + 1)]) == 0
        seen = Screen(60).feed(place.text())
    assert seen.rows[0] == "study     tiny"
    assert seen.rows[2].startswith(f"trials    {N_TRIALS + 1} of {N_TRIALS + 1} finished")
    assert sum(row.startswith("trials") for row in seen.rows) == 1
    assert seen.wrapped == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_a_storage_that_is_away_is_waited_for(
    as_json: bool,
    finished_copy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Any] = [*2 * [StorageError("the server is gone")], None]
    real = watch.__dict__["watch"]

    def flaky(look: Callable[[], Any], **words: Any) -> None:
        def sometimes() -> Any:
            problem = said.pop(0)
            if problem is not None:
                raise problem
            return look()

        real(sometimes, **words)

    monkeypatch.setattr(watch, "watch", flaky)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    words = ["--json"] if as_json else []
    assert main(["status", str(finished_copy), "--watch", *words]) == 0
    out, err = capsys.readouterr()
    if as_json:
        assert err.splitlines() == ["the server is gone"], "once"
        assert json.loads(out)["finished"] == N_TRIALS
        return
    first, second = out.splitlines()
    assert first == "the server is gone"
    assert second.startswith(f"{N_TRIALS} of {N_TRIALS} finished")


def test_running_trials_and_failures_are_named(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = vo.load_study(finished_copy)
    broken = study.ask()
    broken.set_user_attr(FAILURE, {"type": "RuntimeError", "message": "no\nluck"})
    study.tell(broken, state=TrialState.FAIL)
    study.ask().set_user_attr(WORKER, worker_name())
    study.ask().set_user_attr(WORKER, "elsewhere:7:1")
    assert main(["status", str(finished_copy), "--json", "--n-trials", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["trial"], one["alive"]) for one in found["running"]] == [(7, True), (8, True)]
    assert found["running"][1]["worker"] == "elsewhere:7"
    assert found["workers"] == 2
    assert found["left_s"] > 0
    (failure,) = found["failures"]
    assert (failure["trial"], failure["type"], failure["message"]) == (6, "RuntimeError", "no luck")
    assert main(["status", str(finished_copy), "--n-trials", "20"]) == 0
    out = capsys.readouterr().out
    assert "RuntimeError: no luck" in out
    assert "left with 2 workers" in out
