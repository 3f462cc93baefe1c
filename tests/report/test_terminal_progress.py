"""What the terminal shows while trials train."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tests.report.emulator import Screen as Seen
from tests.report.emulator import Window, window
from vaeopt.report import terminal as module
from vaeopt.report.terminal import terminal
from vaeopt.study.attributes import FAILURE, INTERRUPTED, REPEAT, WORKER
from vaeopt.study.quiet import name_metrics

SESSION: Any = None  # not looked at


@pytest.fixture
def study() -> optuna.Study:
    found = optuna.create_study(directions=["minimize", "maximize"])
    name_metrics(found, ["fvu_core", "gain"])
    found.add_trial(create_trial(values=[1.0, 2.0]))
    return found


@pytest.fixture(params=[40, 80, 200])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    with window(request.param) as found:
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=found.stream))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(found, "columns", request.param, raising=False)
        yield found


def seen(place: Any, text: str) -> Seen:
    return Seen(place.columns).feed(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes only if a test says so."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_people_see_trials_best_and_epoch_and_nothing_wraps(
    place: Window, study: optuna.Study, clock: list[float]
) -> None:
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        shown.training([1])
        for epoch in range(1, 41):
            clock[0] += 0.5
            shown.epoch(epoch, 120, 31.4159)
        view = seen(place, place.text())
        assert view.rows[0].startswith("trials 1/9 ")
        assert "00:20" in view.rows[0]
        assert view.rows[1].startswith("best #0: fvu_core 1, gain 2")
        assert view.rows[-1].startswith("trial 1: epoch 40/120")
        if view.columns >= 80:
            assert "loss 31.42 nats; 0.5 s per epoch" in view.rows[-1]
            assert "[#" in view.rows[0]
        assert view.wrapped == 0
        shown.training([4, 5, 6, 7])
        clock[0] += 1
        shown.epoch(1, 120, 31.4159)
        assert view.feed(place.text()).rows[-1].startswith("trials 4-7: epoch 1/120")
    view.feed(place.text())
    assert "epoch" not in view.rows[-2]
    assert (view.rows[-1], view.column) == ("", 0)


def test_the_time_left_is_that_of_the_trials_of_this_session(
    place: Window, study: optuna.Study, clock: list[float]
) -> None:
    old = create_trial(values=[1.0, 1.0])
    old.datetime_start, old.datetime_complete = datetime(2020, 1, 1), datetime(2020, 1, 2)
    study.add_trial(old)  # a day long, years ago
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        assert "left" not in place.text(), "nothing is known yet"
        new = create_trial(values=[0.5, 2.0])
        new.datetime_start = datetime.now() + timedelta(seconds=1)
        new.datetime_complete = new.datetime_start + timedelta(seconds=100)
        study.add_trial(new)
        shown.trial_done(study, study.trials[-1])
        assert "about 10 min left" in place.text(), "six more, one after the other"
        clock[0] += 300
        shown.epoch(1, 2, 1.0)
        assert "about 5 min left" in place.text()


def test_processes_are_shown_with_their_trials(place: Window, study: optuna.Study) -> None:
    for number in range(6):
        asked = study.ask()
        asked.set_user_attr(WORKER, f"node{number}~b~1:471{number}:99")
    running = study.get_trials(states=(TrialState.RUNNING,))
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        view = seen(place, place.text())
        before = len(view.rows)
        shown._screen._last = 0.0  # type: ignore[union-attr]  # time has passed
        shown.working(study, running)
        text = view.feed(place.text()).rows
    assert text[before].startswith("node0:4710 runs trial 1 since 0 s")
    assert len(text) <= before + 3
    assert view.wrapped == 0


def test_a_run_without_a_study_shows_its_epochs(place: Window) -> None:
    with terminal() as shown:
        shown.epoch(5, 10, 3.0)
        view = seen(place, place.text())
        assert view.rows == ["training: epoch 5/10; loss 3 nats"]


# ---- files -------------------------------------------------------------------------------------


def test_a_file_gets_a_line_per_trial(
    study: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal() as shown:
        shown.started(study, SESSION, 1)
        shown.note("trials_at_once was 1")
        shown.training([4, 5])
        shown.epoch(80, 100, 3.0)
        shown.trial_done(study, study.trials[0])
    assert capsys.readouterr().err.splitlines() == [
        "1 of 1 trials are finished",
        "trials_at_once was 1",
        "trial 0 complete; best #0: fvu_core 1, gain 2; 0 collapsed",
    ]


def test_a_file_hears_of_long_trials_once_a_minute(
    study: optuna.Study, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        shown.training([1])
        for epoch in range(1, 14):
            clock[0] += 10
            shown.epoch(epoch, 100, 3.0)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "trial 1: epoch 6/100; loss 3 nats; 10 s per epoch",
        "trial 1: epoch 12/100; loss 3 nats; 10 s per epoch",
    ]


def test_a_file_hears_of_other_processes_once_a_minute(
    study: optuna.Study, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    study.ask().set_user_attr(WORKER, "node3~b~1:4711:99")
    running = study.get_trials(states=(TrialState.RUNNING,))
    with terminal() as shown:
        shown.started(study, SESSION, 9)
        for _ in range(150):
            clock[0] += 0.5
            shown.working(study, running)
    assert capsys.readouterr().err.splitlines()[1:] == ["node3:4711 runs trial 1 since 0 s"]


def test_what_became_of_a_trial_is_said(
    study: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    repeat = {"of": 0, "trials": [0, 1], "own": [1, 2], "margin": -1.0, "sd": [0, 0]}
    study.add_trial(create_trial(values=[3.0, 1.0], user_attrs={REPEAT: repeat}))
    study.add_trial(create_trial(values=[3.0, 1.0], system_attrs={"constraints": [2.0]}))
    fail = {"type": "RuntimeError", "message": "no\nluck"}
    study.add_trial(
        create_trial(state=TrialState.FAIL, user_attrs={FAILURE: fail, WORKER: "node3~b~1:4711:99"})
    )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={INTERRUPTED: True}))
    with terminal() as shown:
        shown.started(study, SESSION, 3)
        for trial in study.trials[1:4]:
            shown.trial_done(study, trial)
    counts = "best #1: fvu_core 3, gain 1; 1 collapsed; 1 repeat; 1 failed"
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"trial 1 complete; {counts}",
        f"trial 2 complete, collapsed; {counts}",
        f"trial 3 fail: RuntimeError: no luck (node3:4711); {counts}",
    ]


def test_nothing_is_shown_where_nothing_is_wanted(
    study: optuna.Study, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(quiet=True) as shown:
        shown.started(study, SESSION, 9)
        shown.note("trials_at_once was 1")
        shown.training([4, 5])
        shown.epoch(80, 100, 3.0)
        shown.working(study, [])
        shown.trial_done(study, study.trials[0])
    assert capsys.readouterr() == ("", "")


def test_trials_of_other_processes_count(place: Window, study: optuna.Study) -> None:
    with terminal() as shown:
        shown.started(study, SESSION, 4)
        for _ in range(3):
            study.add_trial(create_trial(values=[2.0, 2.0]))
        shown.trial_done(study, study.trials[1])
    assert "trials 4/4" in place.text()
