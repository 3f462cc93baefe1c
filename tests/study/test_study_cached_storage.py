"""Fewer questions to the database, the same answers; several writes as one."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.storage import open_storage, set_attributes, together
from vaeopt.study.storage.cached import CachedStorage
from vaeopt.study.storage.relational import Relational


def _two(folder: Path) -> tuple[optuna.Study, optuna.Study]:
    """One study as two processes have it: connections of their own."""
    url = f"sqlite:///{folder}/study.db"
    optuna.create_study(study_name="s", storage=open_storage(url, create=True))
    one, other = (optuna.load_study(study_name="s", storage=open_storage(url)) for _ in range(2))
    return one, other


def _anew(folder: Path) -> list[FrozenTrial]:
    """The trials as a process reads them that has just begun, through Optuna's own storage."""
    plain = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/study.db")
    return plain.get_trials()


def _readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every time that the trials are read from the database."""
    found: list[int] = []
    inner = Relational._get_trials

    def counted(*args: Any, **words: Any) -> Any:
        found.append(1)
        return inner(*args, **words)

    monkeypatch.setattr(Relational, "_get_trials", counted)
    return found


WRITES: dict[str, Callable[[optuna.Study, int], object]] = {
    "create": lambda study, _: study.ask(),
    "user": lambda study, i: study._storage.set_trial_user_attr(i, "k", 1),
    "system": lambda study, i: study._storage.set_trial_system_attr(i, "k", 1),
    "both": lambda study, i: set_attributes(study._storage, i, {"k": 1}, {"k": 1}),
    "step": lambda study, i: study._storage.set_trial_intermediate_value(i, 0, 1.0),
    "param": lambda study, i: study._storage.set_trial_param(
        i, "x", 0.5, optuna.distributions.FloatDistribution(0, 1)
    ),
    "tell": lambda study, _: study.tell(0, 1.0),
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("mine", [True, False], ids=["this process", "another"])
def test_trials_are_read_again_when_somebody_else_has_written(
    what: str, mine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = _two(tmp_path)
    one.ask()
    assert [len(study.get_trials()) for study in (one, other)] == [1, 1]
    readings = _readings(monkeypatch)
    for _ in range(9):
        one.get_trials()
    assert len(readings) < 5, "once for every connection of the pool: nobody has written"
    WRITES[what](one if mine else other, one.trials[0]._trial_id)
    readings.clear()
    seen = one.get_trials()
    assert bool(readings) == (not mine), "own writes are known"
    assert seen == _anew(tmp_path)


def test_attributes_of_a_finished_trial_stay(tmp_path: Path) -> None:
    study, _ = _two(tmp_path)
    trial = study.ask()
    set_attributes(study._storage, trial._trial_id, {"a": 1}, {"b": [2]})
    set_attributes(study._storage, trial._trial_id, {"a": 3, "c": None})
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        set_attributes(study._storage, trial._trial_id, {"a": 4})
    assert study.trials[0].user_attrs == {"a": 3, "c": None}
    assert study.trials[0].system_attrs == {"b": [2]}


def test_storages_that_are_no_databases_take_attributes_too() -> None:
    study = optuna.create_study()
    trial = study.ask()
    with together(study._storage):
        set_attributes(study._storage, trial._trial_id, {"a": 1}, {"b": 2})
    assert study.trials[0].user_attrs == {"a": 1}
    assert study.trials[0].system_attrs == {"b": 2}


def _write_and_fail(study: optuna.Study, trial: optuna.Trial) -> None:
    with together(study._storage):
        trial.set_user_attr("a", 1)
        raise ZeroDivisionError


def _write_to(study: optuna.Study, *trials: optuna.Trial) -> None:
    with together(study._storage):
        for trial in trials:
            with contextlib.suppress(UpdateFinishedTrialError):
                trial.set_user_attr("a", 1)


def test_writes_together_are_seen_by_others_at_once_or_never(tmp_path: Path) -> None:
    one, other = _two(tmp_path)
    trial = one.ask()
    with together(one._storage):
        trial.set_user_attr("a", 1)
        with together(one._storage):
            one.tell(trial, 2.0)
        assert one._storage.get_trial(trial._trial_id).user_attrs == {"a": 1}
    assert (other.trials[0].state, other.trials[0].user_attrs) == (TrialState.COMPLETE, {"a": 1})
    second = one.ask()
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(one, second)
    assert other.trials[1].user_attrs == {}
    one.tell(second, 3.0)
    assert [trial.state for trial in other.trials] == 2 * [TrialState.COMPLETE]


def test_one_write_that_is_refused_undoes_the_others(tmp_path: Path) -> None:
    one, other = _two(tmp_path)
    done, trial = one.ask(), one.ask()
    one.tell(done, 1.0)
    with pytest.raises(StorageInternalError, match="none was done"):
        _write_to(one, trial, done)
    assert other.trials[1].user_attrs == {}
    assert isinstance(one._storage, CachedStorage)
