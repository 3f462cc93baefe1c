"""Drawing the parameters of one trial: seeded by its number, and no point by accident twice."""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, _get_single_value
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.seeds import derive
from vaeopt.study.asking.points import (
    Taken,
    at,
    least_tried,
    most_trainings,
    parameters,
    point_of,
    takers,
)
from vaeopt.study.asking.remembered import remembering
from vaeopt.study.attributes import BATCH, INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.processes.process import worker_name
from vaeopt.study.session import Session
from vaeopt.study.storage import exclusive, set_attributes

__all__ = ["ALONE", "Numbered"]

ALONE = (0, 1)
"""place and size of the batch of a trial that is asked for by itself"""
_ATTEMPTS = 8  # of the sampler, before chance decides
_CHANCES = 32  # of a random draw, before the points are counted


class Numbered(BaseSampler):
    """The sampler of the study, made when the trial and thus its number is there.

    Whatever cuts the trial off from then on, even while its parameters are drawn, it can be run
    again as it was; and processes that ask at the same moment never draw with the same seed.

    All parameters are drawn at once, so that a point that is taken can be refused.

    Args:
        session: tells the sampler and the space.
        batch: place of the trial among those that are asked for together, and how many these are.
        alone: does not hold the lock of the storage while it draws, which may take seconds. The
            lock is taken to see whether the point is free, and then held until ``alone`` ends: the
            parameters are stored by then.
    """

    def __init__(self, session: Session, batch: tuple[int, int], alone: ExitStack) -> None:
        self._session = session
        self._batch = batch
        self._alone = alone
        self._number = 0
        self._sampler: BaseSampler = RandomSampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Sign the trial; optuna calls this first."""
        number = trial.user_attrs.get(SEED_NUMBER)
        if number is None:
            number = _next_number(study.get_trials(deepcopy=False)[: trial.number])
        signed: dict[str, Any] = {WORKER: worker_name()}
        if self._batch != ALONE:
            signed[BATCH] = list(self._batch)
        signed[SEED_NUMBER] = number  # last: from here on the trial is run again if it is cut off
        set_attributes(study._storage, trial._trial_id, signed)
        for key, value in signed.items():
            trial.set_user_attr(key, value)  # what is held of it in memory
        self._number = number
        self._sampler = self._made(study, "sampler")
        self._sampler.before_trial(study, trial)

    def _made(self, study: optuna.Study, *key: int | str) -> BaseSampler:
        settings = self._session.file.settings.optuna
        made = settings.sampler.build(seed=self._seed(*key), grid=self._session.space.grid())
        return remembering(made, study)

    def _seed(self, *key: int | str) -> int:
        seed = self._session.file.settings.optuna.seed
        return int(derive(seed, self._number, *key).generate_state(1)[0])

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The whole space."""
        return dict(self._session.space.distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point that may be tried; what a user has fixed is not drawn."""
        fixed = trial.system_attrs.get("fixed_params", {})
        most = most_trainings(self._session)
        drawn = _draw(self._sampler, study, trial, search_space, fixed)
        if most is None:
            return drawn
        for attempt in range(1, _ATTEMPTS):
            taken = self._taken_now(study, trial)
            if self._often(taken, {**drawn, **fixed}) < most:
                return drawn
            self._alone.close()
            before = drawn
            self._sampler = self._made(study, "sampler", attempt)
            drawn = _draw(self._sampler, study, trial, search_space, fixed)
            if drawn == before:  # it does not draw but compute, and would insist
                break
        taken = self._taken_now(study, trial)
        if self._often(taken, {**drawn, **fixed}) < most:
            return drawn
        return self._free(study, trial, taken, fixed) or drawn

    def _taken_now(self, study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Trials whose points are taken; none is added before the parameters are stored."""
        self._alone.enter_context(exclusive(study._storage))
        found = takers(study)
        return [other for other in found if other.number != trial.number]

    def _often(self, taken: Sequence[FrozenTrial], params: dict[str, Any]) -> int:
        space = self._session.space.distributions
        point = point_of(params, space)
        assert point is not None  # all are drawn or fixed
        there = at(point, space)
        return sum(there(parameters(other)) for other in taken)

    def _free(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        taken: Sequence[FrozenTrial],
        fixed: dict[str, Any],
    ) -> dict[str, Any]:
        """By chance a point that nobody has tried, or one of those tried least.

        Nothing where the space is infinite and no such point turns up: all else is fixed then.
        """
        space, seed = self._session.space, self._seed("sampler", "free")
        chance = RandomSampler(seed=seed)
        for _ in range(_CHANCES):
            drawn = _draw(chance, study, trial, dict(space.distributions), fixed)
            if self._often(taken, {**drawn, **fixed}) == 0:
                return drawn
        grid = space.grid()
        if grid is None:
            return {}
        rng = np.random.default_rng(seed)
        counted = Taken.by(taken, self._session)
        return least_tried(counted, space.distributions, grid, fixed, rng)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """That of the sampler, for parameters that are not of the space."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """That of the sampler."""
        self._sampler.after_trial(study, trial, state, values)


def _draw(
    sampler: BaseSampler,
    study: optuna.Study,
    trial: FrozenTrial,
    distributions: dict[str, BaseDistribution],
    fixed: dict[str, Any],
) -> dict[str, Any]:
    """All parameters that are not fixed, as Optuna would ask for them; nothing of them is stored.

    A sampler may look at what it has drawn before, and at what it has noted on the trial.
    """
    space = sampler.infer_relative_search_space(study, trial)
    relative = sampler.sample_relative(study, trial, space)
    so_far = copy.copy(study._storage.get_trial(trial._trial_id))
    so_far.params = {name: value for name, value in fixed.items() if name in distributions}
    so_far.distributions = {name: distributions[name] for name in so_far.params}
    drawn: dict[str, Any] = {}
    for name, distribution in distributions.items():
        if name in fixed:
            continue
        if distribution.single():
            drawn[name] = _get_single_value(distribution)
        elif name in relative and distribution._contains(
            distribution.to_internal_repr(relative[name])
        ):
            drawn[name] = relative[name]
        else:
            drawn[name] = sampler.sample_independent(study, so_far, name, distribution)
        so_far.params[name], so_far.distributions[name] = drawn[name], distribution
    return drawn


def _next_number(earlier: Sequence[FrozenTrial]) -> int:
    """The seed number behind these trials: a study that was cut off draws what it would have."""
    attributes = [trial.user_attrs for trial in earlier]
    # Retries have the number of another; what was cut off before it had one used none up.
    counted = sum(
        RETRY_OF not in own and (SEED_NUMBER in own or not own.get(INTERRUPTED, False))
        for own in attributes
    )
    # Another process may have counted one that was cut off afterwards.
    drawn: list[int] = [own[SEED_NUMBER] + 1 for own in attributes if SEED_NUMBER in own]
    return max([counted, *drawn])
