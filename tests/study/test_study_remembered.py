"""New samplers know what finished trials have in common without comparing all of them again."""

import gc
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import TrialState

from vaeopt.study.asking import remembered
from vaeopt.study.asking.remembered import remembering
from vaeopt.study.asking.samplers import Gp, Nsga2, Nsga3, Random, Sampler, Tpe

WHOLE: dict[str, Any] = {"x": FloatDistribution(0, 1), "n": IntDistribution(1, 4)}
PART = {"n": WHOLE["n"]}


def _space(sampler: Any, study: optuna.Study) -> Any:
    running = study.ask()
    found = sampler.infer_relative_search_space(study, study._storage.get_trial(running._trial_id))
    study.tell(running, state=TrialState.FAIL)
    return list(found.items())


@pytest.mark.parametrize("sampler", [Tpe(), Nsga2(), Nsga3(), Gp(), Random()])
def test_the_space_is_that_of_a_sampler_that_looks_at_all_trials(sampler: Sampler) -> None:
    study = optuna.create_study()
    rng = np.random.default_rng(0)
    waiting: list[optuna.Trial] = []
    for number in range(12):
        waiting.append(study.ask(PART if number == 9 else WHOLE))
        if rng.random() < 0.5:  # out of order, and some only later
            study.tell(waiting.pop(int(rng.integers(len(waiting)))), 1.0)
        fresh = sampler.build(seed=0, grid=None)
        known = remembering(sampler.build(seed=0, grid=None), study)
        assert _space(known, study) == _space(fresh, study), number


def test_a_trial_is_looked_at_once() -> None:
    study = optuna.create_study()
    for _ in range(3):
        study.tell(study.ask(WHOLE), 1.0)
    spaces = []
    for _ in range(2):
        held = vars(remembering(Tpe().build(seed=0, grid=None), study)).values()
        spaces += [value for value in held if isinstance(value, IntersectionSearchSpace)]
    assert len(spaces) == 2
    assert spaces[0] is spaces[1]
    other = optuna.create_study()
    assert _space(remembering(Tpe().build(seed=0, grid=None), other), other) == []


def test_what_is_known_goes_with_its_storage() -> None:
    gc.collect()
    before = len(remembered._kept)
    study = optuna.create_study()
    remembering(Tpe().build(seed=0, grid=None), study)
    assert len(remembered._kept) == before + 1
    del study
    gc.collect()
    assert len(remembered._kept) == before
