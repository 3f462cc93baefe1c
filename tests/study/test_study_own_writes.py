"""What a process has written itself is as the database would give it back, also after a failure."""

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from vaeopt.study.storage import exclusive, open_storage, set_attributes, together
from vaeopt.study.storage.bulk import add_trials
from vaeopt.study.storage.rows import RowStorage

SPACE: dict[str, Any] = {
    "x": FloatDistribution(1e-3, 1.0, log=True),
    "n": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(["a", "b"]),
}
PARAMS = {"x": 0.1, "n": 5, "kind": "b"}
ATTRIBUTES = {"tuple": (1, 2), "table": {1: (0.1 + 0.2,)}, "none": None, "text": "ü"}


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", create=True)
    return optuna.create_study(study_name="s", storage=storage, directions=["minimize", "maximize"])


def plain(tmp_path: Path) -> optuna.Study:
    """The study as Optuna itself opens it, in a process of its own as it were."""
    return optuna.load_study(study_name="s", storage=RDBStorage(f"sqlite:///{tmp_path}/study.db"))


def template(state: TrialState, values: list[float] | None = None) -> FrozenTrial:
    return create_trial(
        state=state,
        values=values,
        params=PARAMS if values else {},
        distributions=SPACE if values else {},
        user_attrs=ATTRIBUTES,
        system_attrs={"fixed_params": {"n": 5}},
        intermediate_values={0: 1.0, 2: float("inf")},
    )


def asked(study: optuna.Study) -> optuna.Trial:
    return study.ask(fixed_distributions=SPACE)


def _noted(study: optuna.Study) -> None:
    trial = asked(study)
    set_attributes(study._storage, trial._trial_id, ATTRIBUTES, {"constraints": (1,)})
    trial.set_user_attr("text", "again")


def _told(study: optuna.Study) -> None:
    with together(study._storage):
        _noted(study)
        study.tell(len(study.get_trials(deepcopy=False)) - 1, [float("inf"), 2])


def _claimed(study: optuna.Study) -> None:
    study.add_trial(template(TrialState.WAITING))
    study.ask()


def _many(study: optuna.Study) -> None:
    trial = template(TrialState.COMPLETE, [1.0, 2.0])
    trial.number = 0
    add_trials(study._storage, study._study_id, [trial])


ACTS: dict[str, Callable[[optuna.Study], object]] = {
    "ask": lambda study: study.ask(),
    "suggest": asked,
    "attributes": _noted,
    "steps": lambda study: study._storage.set_trial_intermediate_value(
        study.ask()._trial_id, 3, float("-inf")
    ),
    "tell": _told,
    "fail": lambda study: study.tell(asked(study), state=TrialState.FAIL),
    "queue": lambda study: study.add_trial(template(TrialState.WAITING)),
    "claim": _claimed,
    "add": lambda study: study.add_trial(template(TrialState.COMPLETE, [1.0, float("-inf")])),
    "add many": _many,
}


@pytest.mark.parametrize("act", ACTS)
def test_own_writes_are_noted_as_they_are_stored(
    act: str, study: optuna.Study, tmp_path: Path
) -> None:
    assert study.get_trials() == []  # from here on the database is not read without a reason
    ACTS[act](study)
    assert len(study.get_trials()) == 1
    assert study.get_trials() == plain(tmp_path).get_trials()


@pytest.mark.parametrize("act", ACTS)
def test_what_others_write_is_read_as_optuna_reads_it(
    act: str, study: optuna.Study, tmp_path: Path
) -> None:
    assert study.get_trials() == []
    ACTS[act](plain(tmp_path))
    assert len(study.get_trials()) == 1
    assert study.get_trials() == plain(tmp_path).get_trials()


def test_what_was_handed_out_stays_as_it_was(study: optuna.Study) -> None:
    trial = asked(study)
    (before,) = study.get_trials(deepcopy=False)
    given = study._storage.get_trial(trial._trial_id)
    given.user_attrs["mine"] = given.params["x"] = 7
    _noted(study)
    study.tell(trial, [1.0, 2.0])
    assert (before.state, before.values) == (TrialState.RUNNING, None)
    assert "mine" not in study.trials[0].user_attrs
    assert study.trials[0].params == trial.params


def _fails(study: optuna.Study, running: optuna.Trial) -> None:
    with together(study._storage):
        running.set_user_attr("a", 1)
        study.tell(running, [1.0, 2.0])
        _told(study)
        assert [t.state for t in study.get_trials()] == 2 * [TrialState.COMPLETE]
        raise ZeroDivisionError


def test_what_was_undone_is_forgotten(study: optuna.Study, tmp_path: Path) -> None:
    running = asked(study)
    with pytest.raises(ZeroDivisionError):
        _fails(study, running)
    assert study.get_trials() == plain(tmp_path).get_trials()
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING]
    assert study.ask().number == 1
    study.tell(running, [3.0, 4.0])
    assert study.get_trials() == plain(tmp_path).get_trials()


def test_what_another_process_has_written_before_is_not_lost(
    study: optuna.Study, tmp_path: Path
) -> None:
    trial = asked(study)
    other = plain(tmp_path)
    other._storage.set_trial_user_attr(trial._trial_id, "theirs", 1)
    study.tell(trial, [1.0, 2.0])  # without having looked
    assert study.trials[0].user_attrs == {"theirs": 1}
    assert study.get_trials() == other.get_trials()


def test_a_thread_that_reads_meanwhile_takes_nothing_back(study: optuna.Study) -> None:
    trial = asked(study)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(study.get_trials()[0].user_attrs))
    with together(study._storage):
        trial.set_user_attr("a", 1)
        thread.start()
        thread.join(timeout=0.2)
        trial.set_user_attr("b", 2)
    thread.join(timeout=60)
    assert seen == [{"a": 1, "b": 2}], "it sees all of a transaction"
    assert study.trials[0].user_attrs == {"a": 1, "b": 2}


def test_a_thread_that_claims_a_trial_keeps_no_other_from_reading(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.enqueue_trial({})
    waits = threading.Event()

    @contextlib.contextmanager
    def waiting(_: object) -> Iterator[None]:
        waits.set()
        yield

    module = importlib.import_module("vaeopt.study.storage.exclusive")  # not the function
    monkeypatch.setattr(module, "said_if_long", waiting)
    claims = threading.Thread(target=study.ask, daemon=True)
    reads = threading.Thread(target=study.get_trials, daemon=True)
    with exclusive(study._storage):
        claims.start()
        assert waits.wait(60)
        reads.start()
        reads.join(20)
        assert not reads.is_alive(), "it waits for one that waits for this block"
    claims.join(60)
    assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING]


def _refused(storage: Any, study_id: int, running: int, done: int) -> dict[str, Any]:
    """What a storage answers to what it must not do."""
    acts: dict[str, Callable[[], Any]] = {
        "no such study": lambda: storage.create_new_trial(99),
        "no such trial": lambda: storage.get_trial(99),
        "state of no trial": lambda: storage.set_trial_state_values(99, TrialState.RUNNING),
        "attribute of no trial": lambda: storage.set_trial_user_attr(99, "a", 1),
        "claimed": lambda: storage.set_trial_state_values(running, TrialState.RUNNING),
        "finished": lambda: storage.set_trial_state_values(done, TrialState.COMPLETE, [1, 2]),
        "attribute": lambda: storage.set_trial_user_attr(done, "a", 1),
        "parameter": lambda: storage.set_trial_param(done, "y", 1.0, SPACE["x"]),
        "other space": lambda: storage.set_trial_param(running, "kind", 0.0, SPACE["x"]),
        "trials of no study": lambda: storage.get_all_trials(99),
    }
    found: dict[str, Any] = {}
    for name, act in acts.items():
        try:
            found[name] = act()
        except Exception as error:
            found[name] = type(error)
    return found


def test_what_is_refused_is_what_optuna_refuses(study: optuna.Study, tmp_path: Path) -> None:
    _told(study)
    running = study.ask()
    done = study.trials[0]._trial_id
    ours = _refused(study._storage, study._study_id, running._trial_id, done)
    other = plain(tmp_path)
    assert len(other.get_trials()) == 2
    theirs = _refused(other._storage, study._study_id, running._trial_id, done)
    assert ours == theirs
    assert ours["attribute"] is UpdateFinishedTrialError
    assert ours["claimed"] is False
    assert study.get_trials() == plain(tmp_path).get_trials()


def test_rows_are_written_by_our_statements(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(getattr(study._storage, "_backend", None), RowStorage)

    def slow(*_: Any, **__: Any) -> Any:
        raise AssertionError("through an object for every row")

    for name in ("_build_frozen_trial_from_trial_model", "_set_trial_attr_without_commit"):
        assert hasattr(RDBStorage, name)
        monkeypatch.setattr(RDBStorage, name, slow)
    _told(study)
    assert study.trials[0].state == TrialState.COMPLETE
