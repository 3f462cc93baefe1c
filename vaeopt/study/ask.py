"""The next trial: signed as soon as it exists, and drawn with the seed of its own number."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from vaeopt.core.seeds import derive
from vaeopt.study.records import RETRY_OF, SEED_NUMBER, WORKER, worker_name
from vaeopt.study.session import Session

__all__ = ["ask"]


def ask(study: optuna.Study, session: Session) -> Trial:
    """The next trial, waiting ones first, with all its parameters."""
    study.sampler = _Numbered(session)
    return study.ask(fixed_distributions=dict(session.space.distributions))


class _Numbered(BaseSampler):
    """The sampler of the study, made when the trial and thus its number is there.

    Whatever cuts the trial off from then on, even while its parameters are drawn, it can be run
    again as it was; and processes that ask at the same moment never draw with the same seed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sampler: BaseSampler = optuna.samplers.RandomSampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Sign the trial; optuna calls this first."""
        number = trial.user_attrs.get(SEED_NUMBER)
        if number is None:
            earlier = study.get_trials(deepcopy=False)[: trial.number]
            # Retries do not count: a study that was interrupted meets the same sampler states.
            number = sum(RETRY_OF not in other.user_attrs for other in earlier)
        for key, value in ((WORKER, worker_name()), (SEED_NUMBER, number)):
            study._storage.set_trial_user_attr(trial._trial_id, key, value)
            trial.set_user_attr(key, value)  # what is held of it in memory
        settings, grid = self._session.file.settings.optuna, self._session.space.grid()
        seed = int(derive(settings.seed, number, "sampler").generate_state(1)[0])
        self._sampler = settings.sampler.build(seed=seed, grid=grid)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """That of the sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """That of the sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """That of the sampler."""
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
