"""Optuna samplers as settings; a fresh one is made for every trial from (study seed, trial)."""

import warnings
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._ga import BaseGASampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, PositiveInt

from vaeopt.core.settings import Plugin
from vaeopt.study.attributes import INTERRUPTED

__all__ = [
    "BruteForce",
    "Gp",
    "Grid",
    "Nsga2",
    "Nsga3",
    "Random",
    "Sampler",
    "Tpe",
]


class Sampler(Plugin, family="sampler"):
    """How the next trial is chosen.

    A sampler keeps no state of its own between trials: all it knows it reads from the study. That
    is what lets a study that was stopped go on as if it had never been stopped.
    """

    finite_space: ClassVar[bool] = False
    """whether it needs a search space with finitely many points, and ends when all are done"""

    @abstractmethod
    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """The Optuna sampler for one trial.

        Args:
            seed: of this trial.
            grid: every value of every parameter, where the space is finite.
        """


class Tpe(Sampler, kind="tpe"):
    """Tree-structured Parzen estimator: the workhorse for 30 to 1000 trials."""

    n_startup_trials: PositiveInt = 10
    """random trials before the model takes over"""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Multivariate, so that window and invariance are modelled together."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=self.n_startup_trials, multivariate=True, seed=seed
            )


class Nsga2(Sampler, kind="nsga2"):
    """Genetic search for Pareto fronts; generations of ``population_size`` trials."""

    population_size: Annotated[int, Field(ge=2)] = 20
    """trials per generation; Optuna's own default of 50 makes short studies random search"""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Constraint-dominated NSGA-II (Deb 2002)."""
        return NSGAIISampler(population_size=self.population_size, seed=seed)


class Nsga3(Sampler, kind="nsga3"):
    """Genetic search for three and more objectives, spread by reference points."""

    population_size: Annotated[int, Field(ge=2)] = 20
    """trials per generation"""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Constraint-dominated NSGA-III (Deb 2014)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return NSGAIIISampler(population_size=self.population_size, seed=seed)


class Gp(Sampler, kind="gp"):
    """Gaussian process: fewest trials, but seconds per trial beyond a few hundred."""

    n_startup_trials: PositiveInt = 10
    """random trials before the model takes over"""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Expected (hypervolume) improvement with constraints."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.GPSampler(n_startup_trials=self.n_startup_trials, seed=seed)


class Random(Sampler, kind="random"):
    """Independent draws: the baseline."""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Uniform over the space."""
        return optuna.samplers.RandomSampler(seed=seed)


class Grid(Sampler, kind="grid"):
    """Every point of a finite space once, in a shuffled order."""

    finite_space: ClassVar[bool] = True

    order_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """decides the order in which the points are tried"""

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """The shuffle is the study's, not the trial's: points are counted by their place in it."""
        return _GridSampler(grid or {}, seed=self.order_seed)


class BruteForce(Sampler, kind="brute-force"):
    """Every point of a finite space once, drawn at random from those that are left."""

    finite_space: ClassVar[bool] = True

    def build(self, *, seed: int, grid: dict[str, list[Any]] | None) -> optuna.samplers.BaseSampler:
        """Optuna's tree of what has been tried."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return _BruteForceSampler(grid or (), seed=seed)


class _Parents(BaseGASampler):
    """The first child of a generation selects its parents, the others find them stored.

    So it is in Optuna. The others meet them in another order, and the selection may draw random
    numbers. So a first child that was cut off behind the selection, and draws again, selects again.
    """

    _first_of: int | None = None

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Notes whether the trial is the first of its generation."""
        generation, key = self.get_trial_generation(study, trial), self._get_generation_key()
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        first = not any(
            other.system_attrs.get(key) == generation
            and not other.user_attrs.get(INTERRUPTED, False)
            for other in earlier
        )
        self._first_of = generation if first else None
        of_optuna: dict[str, Any] = super().sample_relative(  # type: ignore[safe-super]  # mixed in
            study, trial, search_space
        )
        return of_optuna

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Selected anew for the first child, also where the selection has been stored."""
        attributes = study._storage.get_study_system_attrs(study._study_id)
        stored = f"{self._get_parent_cache_key_prefix()}{generation}" in attributes
        if stored and generation == self._first_of:
            return self.select_parent(study, generation)
        return super().get_parent_population(study, generation)


# Optuna names what a genetic sampler stores after its class: the names must stay.
class NSGAIISampler(_Parents, optuna.samplers.NSGAIISampler): ...


class NSGAIIISampler(_Parents, optuna.samplers.NSGAIIISampler): ...


class _NeverStops(optuna.samplers.BaseSampler):
    """Optuna's own loop is stopped by ``after_trial``, which raises under ask-and-tell.

    The loop that runs here counts the points itself.
    """

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing."""


class _BruteForceSampler(_NeverStops, optuna.samplers.BruteForceSampler):
    def __init__(self, names: Collection[str], *, seed: int) -> None:
        super().__init__(seed=seed)
        self._names = set(names)

    def _populate_tree(  # type: ignore[override]  # a static method there
        self, tree: Any, trials: list[FrozenTrial], params: dict[str, Any]
    ) -> None:
        """A trial that was cut off while its parameters were drawn has tried no point."""
        whole = [trial for trial in trials if self._names <= set(trial.params)]
        super()._populate_tree(tree, whole, params)


class _GridSampler(_NeverStops, optuna.samplers.GridSampler):
    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """The first point that is left; Optuna's goes by the number, which retries use up."""
        if "grid_id" in trial.system_attrs or "fixed_params" in trial.system_attrs:
            return
        queued = self._queued(study)
        ids = self._get_unvisited_grid_ids(study) or range(len(self._all_grids))
        left = [i for i in ids if self._all_grids[i] not in queued] or ids
        storage, trial_id = study._storage, trial._trial_id
        storage.set_trial_system_attr(trial_id, "search_space", self._search_space)
        storage.set_trial_system_attr(trial_id, "grid_id", min(left))

    def _queued(self, study: optuna.Study) -> list[tuple[Any, ...]]:
        """Points that a user has asked for, which no place in the grid tells."""
        fixed = [
            trial.system_attrs.get("fixed_params", {}) for trial in study.get_trials(deepcopy=False)
        ]
        return [tuple(point.get(name) for name in self._param_names) for point in fixed]
