"""Every sampler runs a study to its end, the same way every time."""

from collections import Counter
from pathlib import Path

import optuna
import pytest

from tests.study.tiny import ONE, SEARCH, TWO, points, write_study
from vaeopt.core.settings import Plugin
from vaeopt.study.asking.samplers import Sampler
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import optimize

TABLES = {
    "tpe": '{ kind = "tpe", n_startup_trials = 2 }',
    "nsga2": '{ kind = "nsga2", population_size = 2 }',
    "nsga3": '{ kind = "nsga3", population_size = 2 }',
    "gp": '{ kind = "gp", n_startup_trials = 2 }',
    "random": '"random"',
    "grid": '"grid"',
    "brute-force": '"brute-force"',
}
FLOATS = '"vae.kl_scale" = { low = 0.1, high = 0.3, step = 0.1 }'


def test_all_samplers_are_tried_here() -> None:
    assert sorted(TABLES) == Sampler.kinds()
    assert Plugin.families["sampler"] is Sampler


@pytest.mark.parametrize("rewards", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("kind", TABLES)
def test_a_study_runs_to_its_end_and_repeats_in_a_fresh_folder(
    kind: str, rewards: str, tmp_path: Path
) -> None:
    found = []
    for place in ("first", "second"):
        folder = write_study(tmp_path / place, sampler=TABLES[kind], rewards=rewards, seed=5)
        study = optimize(folder, n_trials=3)
        assert [t.state.name for t in study.trials] == ["COMPLETE"] * 3
        found.append([(t.params, t.values, t.constraints) for t in study.trials])
    assert found[0] == found[1]
    assert len({tuple(t.values) for t in study.trials}) == 3, "each trial has its own seeds"


def test_another_seed_is_another_study(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        folder = write_study(tmp_path / str(seed), rewards=ONE, seed=seed)
        found.append(points(optimize(folder, n_trials=3).trials))
    assert not {values for _, values in found[0]} & {values for _, values in found[1]}


@pytest.mark.parametrize("search", [SEARCH, FLOATS], ids=["words", "floats"])
@pytest.mark.parametrize("kind", ["grid", "brute-force"])
def test_a_finite_space_is_walked_once_and_the_study_stops(
    kind: str, search: str, tmp_path: Path
) -> None:
    folder = write_study(tmp_path, sampler=TABLES[kind], rewards=ONE, search=search)
    study = optimize(folder, n_trials=20)
    expected = 6 if search == SEARCH else 3
    tried = Counter(tuple(sorted(t.params.items())) for t in study.trials)
    assert len(study.trials) == expected
    assert set(tried.values()) == {1}
    again = optimize(folder, n_trials=20)
    assert len(again.trials) == expected, "nothing is left to do"


def test_the_order_of_a_grid_can_be_chosen(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        sampler = f'{{ kind = "grid", order_seed = {seed} }}'
        folder = write_study(tmp_path / str(seed), sampler=sampler, rewards=ONE)
        orders.append([tuple(t.params.items()) for t in optimize(folder, n_trials=4).trials])
    assert orders[0] != orders[1]


@pytest.mark.parametrize("kind", TABLES)
def test_a_sampler_is_made_anew_for_every_trial(kind: str) -> None:
    grid = {"x": [1, 2]}
    settings = Sampler.of_kind(kind)()
    first, again = (settings.build(seed=3, grid=grid) for _ in range(2))
    assert isinstance(first, optuna.samplers.BaseSampler)
    assert first is not again
    assert settings.finite_space == (kind in ("grid", "brute-force"))


@pytest.mark.parametrize("kind", [k for k in TABLES if k not in ("grid", "brute-force")])
def test_a_study_may_search_nothing(kind: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path, sampler=TABLES[kind], rewards=ONE, search="")
    study = optimize(folder, n_trials=3)
    assert [t.params for t in finished(study)] == [{}] * 3
    assert len({t.values[0] for t in finished(study)}) == 3, "replicates differ in their seeds"
