"""What the terminal shows while trials train."""

import sys
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from vaeopt.report.terminal import terminal

SESSION: Any = None  # not looked at


@pytest.fixture
def study() -> optuna.Study:
    found = optuna.create_study()
    found.add_trial(create_trial(value=1.0))
    return found


def test_a_bar_names_the_trials_that_train_together(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        shown.note("trials_at_once was 1")
        shown.epoch(20, 100, 3.0)
        assert "trials (epoch 20/100):" in capsys.readouterr().err
        shown.training([4, 5, 6, 7])
        shown.epoch(80, 100, 3.0)
        assert "trials 4-7 (epoch 80/100):" in capsys.readouterr().err
        shown.training([7])
        shown.epoch(40, 100, 3.0)
        assert "trial 7 (epoch 40/100):" in capsys.readouterr().err
        shown.trial_done(study, study.trials[0])
        shown.epoch(60, 100, 3.0)
        assert "trials (epoch 60/100):" in capsys.readouterr().err


def test_a_file_gets_plain_lines(study: optuna.Study, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        shown.note("trials_at_once was 1")
        shown.training([4, 5])
        shown.epoch(80, 100, 3.0)
        shown.trial_done(study, study.trials[0])
    assert study.trials[0].state == TrialState.COMPLETE
    assert capsys.readouterr().err.splitlines() == [
        "1 of 9 trials are finished",
        "trials_at_once was 1",
        "trial 0 complete; best #0: value_0 1; 0 collapsed",
    ]


def test_nothing_is_shown_where_nothing_is_wanted(
    study: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(quiet=True) as shown:
        shown.started(study, SESSION, 9)
        shown.note("trials_at_once was 1")
        shown.training([4, 5])
        shown.epoch(80, 100, 3.0)
        shown.trial_done(study, study.trials[0])
    assert capsys.readouterr() == ("", "")


def test_trials_of_other_processes_move_the_bar(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal() as shown:
        shown.started(study, SESSION, 4)
        for _ in range(3):
            study.add_trial(create_trial(value=2.0))
        shown.trial_done(study, study.trials[1])
    assert "4/4" in capsys.readouterr().err
