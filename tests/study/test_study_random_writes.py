"""Random writes by two processes, some of them undone: everybody reads what Optuna itself reads."""

import contextlib
import copy
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from vaeopt.study.storage import open_storage, set_attributes, together

SPACE: dict[str, Any] = {
    "x": FloatDistribution(1e-5, 1.0, log=True),
    "q": FloatDistribution(0.1, 0.9, step=0.1),
    "n": IntDistribution(1, 9, step=2),
    "m": IntDistribution(1, 900, log=True),
    "kind": CategoricalDistribution(["a", None, True, 2, 0.1]),
    "one": FloatDistribution(0.5, 0.5),
}
VALUES = [0.0, -0.0, 1, 0.1 + 0.2, 1e308, math.inf, -math.inf]
ATTRIBUTES: list[Any] = [None, math.nan, "ü\0'\"", "x" * 50, {"a": [1, (2,)]}, [], -1e-300, True]
Act = Callable[[optuna.Study, random.Random], object]


def _params(chance: random.Random) -> dict[str, Any]:
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(chance.randrange(2**31)))
    return asked.ask(fixed_distributions=SPACE).params


def _attributes(chance: random.Random) -> dict[str, Any]:
    return {chance.choice("abc"): chance.choice(ATTRIBUTES) for _ in range(chance.randrange(3))}


def _running(study: optuna.Study, chance: random.Random) -> int:
    """A trial that another process may have ended, or that has not begun."""
    trials = study.get_trials(deepcopy=False)
    return chance.choice(trials)._trial_id if trials else study.ask()._trial_id


def _add(study: optuna.Study, chance: random.Random) -> None:
    state = chance.choice([TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING])
    done = state == TrialState.COMPLETE
    study.add_trial(
        create_trial(
            state=state,
            values=chance.choices(VALUES, k=2) if done else None,
            params=_params(chance) if done else {},
            distributions=SPACE if done else {},
            user_attrs=_attributes(chance),
            system_attrs=_attributes(chance),
            intermediate_values={chance.randrange(9): chance.choice([*VALUES, math.nan])},
        )
    )


def _suggest(study: optuna.Study, chance: random.Random) -> None:
    trial_id, name = _running(study, chance), chance.choice(list(SPACE))
    held = SPACE[name].to_internal_repr(_params(chance)[name])
    if name not in study._storage.get_trial(trial_id).params:
        study._storage.set_trial_param(trial_id, name, held, SPACE[name])


def _step(study: optuna.Study, chance: random.Random) -> None:
    value = chance.choice([*VALUES, math.nan])
    study._storage.set_trial_intermediate_value(_running(study, chance), chance.randrange(3), value)


def _state(study: optuna.Study, chance: random.Random) -> None:
    values = chance.choice([None, [], chance.choices(VALUES, k=2)])
    state = chance.choice([TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL])
    study._storage.set_trial_state_values(_running(study, chance), state, values)


ACTS: list[Act] = [
    _add,
    _suggest,
    _step,
    _state,
    lambda study, chance: study.ask(),
    lambda study, chance: study.ask(fixed_distributions=SPACE),
    lambda study, chance: study.enqueue_trial(_params(chance), user_attrs=_attributes(chance)),
    lambda study, chance: set_attributes(
        study._storage, _running(study, chance), _attributes(chance), _attributes(chance)
    ),
    lambda study, chance: study.get_trials(),
    lambda study, chance: study._storage.get_trial(_running(study, chance)),
    lambda study, chance: study.set_user_attr("a", chance.random()),
]
_REFUSED = (optuna.exceptions.UpdateFinishedTrialError, optuna.exceptions.StorageInternalError)


def _some(study: optuna.Study, chance: random.Random) -> None:
    for act in chance.choices(ACTS, k=chance.randrange(4)):
        with contextlib.suppress(*_REFUSED):
            act(study, chance)


def _transaction(study: optuna.Study, chance: random.Random) -> None:
    with contextlib.suppress(ZeroDivisionError, *_REFUSED), together(study._storage):
        _some(study, chance)
        if chance.random() < 0.5:
            raise ZeroDivisionError


def _text(trial: optuna.trial.FrozenTrial) -> str:
    """Entries of dictionaries come in an order that databases are free in."""
    found = copy.copy(trial)
    found.params, found.distributions = _sorted(trial.params), _sorted(trial.distributions)
    found.user_attrs, found.system_attrs = _sorted(trial.user_attrs), _sorted(trial.system_attrs)
    found.intermediate_values = _sorted(trial.intermediate_values)
    return repr(found)


def _sorted(held: dict[Any, Any]) -> dict[Any, Any]:
    return {key: held[key] for key in sorted(held)}


def _told(study: optuna.Study) -> str:
    """Of every trial all that can be read, nan and types of numbers included."""
    ways: list[Any] = [study.get_trials(), study.get_trials(deepcopy=False)]
    ways.append([study._storage.get_trial(trial._trial_id) for trial in ways[0]])
    done = study.get_trials(states=(TrialState.COMPLETE, TrialState.WAITING))
    assert [t.number for t in done] == [
        t.number for t in ways[0] if t.state in (TrialState.COMPLETE, TrialState.WAITING)
    ]
    texts = ["\n".join(map(_text, way)) for way in ways]
    assert texts[0] == texts[1] == texts[2]
    return texts[0]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_written_by_two_is_read_as_optuna_reads_it(seed: int, tmp_path: Path) -> None:
    url, chance = f"sqlite:///{tmp_path}/study.db", random.Random(seed)  # noqa: S311
    first = open_storage(url, create=True)
    optuna.create_study(study_name="other", storage=first).ask()  # ids are not numbers
    optuna.create_study(study_name="s", storage=first, directions=["minimize", "maximize"])
    one = optuna.load_study(study_name="s", storage=first)
    two = optuna.load_study(study_name="s", storage=open_storage(url))
    plain = optuna.load_study(study_name="s", storage=RDBStorage(url))
    for _ in range(40):
        who = chance.choice([one, one, two])
        (_transaction if chance.random() < 0.4 else _some)(who, chance)
        if chance.random() < 0.5:
            expected = _told(plain)
            assert _told(one) == expected
            assert _told(two) == expected
    assert len(plain.trials) > 5, "something was written"


def test_a_finished_trial_that_was_undone_runs_again_at_once(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", create=True)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    assert len(study.get_trials()) == 1

    def fail() -> None:
        with together(storage):
            study.tell(trial, 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert storage.get_trial(trial._trial_id).state == TrialState.RUNNING


def test_what_is_given_of_a_running_trial_may_be_changed(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", create=True)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    trial.set_user_attr("held", [1])
    assert len(study.get_trials()) == 1
    storage.get_trial(trial._trial_id).user_attrs["held"].append(2)
    assert study.trials[0].user_attrs == {"held": [1]}


@pytest.mark.filterwarnings("ignore:Choices for a categorical")
def test_choices_that_are_tuples_come_back_as_lists(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", create=True)
    study = optuna.create_study(storage=storage)
    choices: Any = [(1, 2), (3,)]
    space: dict[str, Any] = {"kind": CategoricalDistribution(choices)}
    done = TrialState.COMPLETE
    study.add_trial(create_trial(state=done, value=1, params={"kind": (3,)}, distributions=space))
    assert study.trials[0].params == {"kind": [3]}
    plain = optuna.load_study(study_name=None, storage=RDBStorage(f"sqlite:///{tmp_path}/study.db"))
    assert study.trials == plain.trials
