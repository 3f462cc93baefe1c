"""How fast a study goes, worked out by hand."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from vaeopt.study.attributes import BATCH, FAILURE, INTERRUPTED, WORKER
from vaeopt.study.results.pace import Pace, pace_of
from vaeopt.study.results.status import about, lines_of, status_of

START = datetime(2026, 1, 1, tzinfo=None)  # as Optuna keeps it


def trial(
    begins: float,
    ends: float,
    worker: str = "here:1:1",
    attributes: Mapping[str, Any] = MappingProxyType({}),
) -> FrozenTrial:
    state = TrialState.FAIL if {FAILURE, INTERRUPTED} & attributes.keys() else TrialState.COMPLETE
    value = 1.0 if state == TrialState.COMPLETE else None
    made = create_trial(state=state, value=value, user_attrs={**attributes, WORKER: worker})
    made.datetime_start = START + timedelta(seconds=begins)
    made.datetime_complete = START + timedelta(seconds=ends)
    return made


def test_nothing_is_known_before_the_first_trial() -> None:
    assert pace_of([]) is None
    assert pace_of([trial(0, 5, attributes={FAILURE: {}})]) is None


def test_what_passes_between_the_trials_of_a_process_counts() -> None:
    found = pace_of([trial(0, 10), trial(12, 22), trial(24, 34)])
    assert found is not None
    assert found.seconds_per_trial == pytest.approx(34 / 3)
    assert found.per_hour == pytest.approx(3600 * 3 / 30)


def test_a_pause_between_two_processes_does_not_count() -> None:
    found = pace_of([trial(0, 10, "here:1:1"), trial(90000, 90010, "here:2:2")])
    assert found is not None
    assert (found.seconds_per_trial, found.per_hour) == (10, 360)


def test_processes_side_by_side_have_a_pace_each() -> None:
    found = pace_of([trial(0, 10, "a:1:1"), trial(0, 10, "b:1:1")])
    assert found is not None
    assert (found.seconds_per_trial, found.per_hour) == (10, 720)


def test_failed_trials_take_time_and_interrupted_ones_do_not() -> None:
    failed = trial(10, 20, attributes={FAILURE: {"type": "E"}})
    found = pace_of([trial(0, 10), failed, trial(20, 30)])
    assert found is not None
    assert found.seconds_per_trial == 15
    cut_off = trial(30, 9000, attributes={INTERRUPTED: True})
    assert pace_of([trial(0, 10), failed, trial(20, 30), cut_off]) == found


def test_only_the_last_trials_count_and_those_of_this_session() -> None:
    slow, quick = trial(0, 1000), [trial(2000 + 10 * i, 2010 + 10 * i, "b:1:1") for i in range(3)]
    found = pace_of([slow, *quick], last=3)
    assert found == pace_of([slow, *quick], since=START + timedelta(seconds=1500))
    assert found is not None
    assert (found.trials, found.seconds_per_trial) == (3, 10)


def test_trials_that_train_together_share_their_time() -> None:
    batch = [trial(0, 40, attributes={BATCH: [place, 4]}) for place in range(4)]
    found = pace_of(batch)
    assert found is not None
    assert (found.seconds_per_trial, found.batch) == (10, 4)
    assert found.left_s(8, workers=1) == 80
    assert found.left_s(5, workers=1) == 80, "a second batch"
    assert found.left_s(8, workers=2) == 40


@pytest.mark.parametrize(
    ("missing", "workers", "begun", "left"),
    [
        (0, 0, [], 0.0),
        (5, 0, [], None),
        (5, 1, [], 50.0),
        (5, 4, [], 20.0),
        (1, 4, [], 10.0),
        (4, 4, [6.0, 6.0, 6.0, 6.0], 4.0),
        (1, 1, [99.0], 0.0),
    ],
)
def test_workers_go_round_by_round(
    missing: int, workers: int, begun: list[float], left: float | None
) -> None:
    pace = Pace(trials=3, seconds_per_trial=10.0, per_hour=360.0)
    assert pace.left_s(missing, workers, begun) == left


def test_a_look_is_plain_data_and_plain_words() -> None:
    study = optuna.create_study(study_name="s")
    for one in (
        trial(0, 10),
        trial(10, 20, attributes={FAILURE: {"type": "E", "message": "a\nb"}}),
    ):
        study.add_trial(one)
    study.ask().set_user_attr(WORKER, "far:7:1")
    (running,) = study.get_trials(states=(TrialState.RUNNING,))
    assert running.datetime_start is not None
    found = status_of(study, 4, now=running.datetime_start + timedelta(seconds=4))
    assert (found.finished, found.failed, found.interrupted, found.workers) == (1, 1, 0, 1)
    assert found.running[0].age_s == 4
    assert found.left_s == pytest.approx(3 * 20 - 4), "the failed trial took its time, too"
    assert found.failures[0].message == "a b"
    assert found.to_table()["done"] is False
    assert "failed    trial 1 at 2026-01-01 00:00:20: E: a b" in lines_of(found)


def test_times_are_no_more_exact_than_they_are() -> None:
    assert [about(s) for s in (0, 89, 91, 5399, 5401, 129599, 129601)] == [
        "0 s", "89 s", "2 min", "90 min", "1.5 h", "36.0 h", "1.5 days",
    ]  # fmt: skip
