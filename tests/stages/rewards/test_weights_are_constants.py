"""A sampled weight never multiplies a returned value (semantics 9.4)."""

from collections.abc import Iterator

import optuna
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.study.space import SearchEntry, SearchSpace
from vaeopt.workflow import Workflow

LARGEST = 2.0


@pytest.fixture
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def _fit(x: float) -> float:
    """A cost with its minimum at 0.3."""
    return 1 + (x - 0.3) ** 2


def _entropy(x: float) -> float:
    """Another one, lower and with its minimum at 0.8."""
    return 0.5 + (x - 0.8) ** 2


def _weight_found(seed: int) -> float:
    """The weight of the best trial of a study that samples it, as a share of its range."""

    def value(trial: optuna.Trial) -> float:
        x, a = trial.suggest_float("x", 0, 1), trial.suggest_float("a", 0, LARGEST)
        return a * _fit(x) + (LARGEST - a) * _entropy(x)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(value, n_trials=60)
    return float(study.best_params["a"]) / LARGEST


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sampled_weight_is_driven_to_its_bound(seed: int) -> None:
    """The search picks the smaller term instead of a compromise: the counter-example."""
    assert min(_weight_found(seed), 1 - _weight_found(seed)) < 0.05


@pytest.mark.parametrize(
    "path", ["rewards.0.weight", "rewards.0.terms.0.weight", "rewards.0.terms.0.scale"]
)
def test_no_weight_of_a_reward_can_be_searched(path: str) -> None:
    terms = [{"reward": "gain"}, {"reward": "reconstruction"}]
    workflow = Workflow(rewards=[{"kind": "composite", "terms": terms}])  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="a reward must stay the same within a study"):
        SearchSpace.build(workflow, {path: SearchEntry(low=0.0, high=2.0)})
