"""Points of the search space: what makes two trials the same, and which may still be tried."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.attributes import INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.processes.liveness import alive
from vaeopt.study.processes.process import worker_name
from vaeopt.study.session import Session

__all__ = [
    "Point",
    "Taken",
    "at",
    "exhausted",
    "least_tried",
    "most_trainings",
    "parameters",
    "point_of",
    "runs",
    "takers",
]

Point = tuple[int | float | str, ...]
"""place of every parameter among its values, or the value where there are endlessly many"""


def runs(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a process that lives has the trial, this one included."""
    return trial.user_attrs.get(WORKER) == worker_name() or alive(trial, study)


def parameters(trial: FrozenTrial) -> dict[str, Any]:
    """Those that a trial has or will have, as far as they are decided."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def point_of(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> Point | None:
    """The point with these parameters; None if some are still missing.

    A value that was drawn and the same value as a storage gives it back are the same place: steps
    are counted, and numbers that only differ in their last digit do not make two points.
    """
    if not distributions.keys() <= params.keys():
        return None
    return tuple(_place(distribution, params[name]) for name, distribution in distributions.items())


def at(
    point: Point, distributions: Mapping[str, BaseDistribution]
) -> Callable[[Mapping[str, Any]], bool]:
    """Whether parameters are those of a point, for many of them; ends at the first that differs."""
    wanted = [
        (name, distribution, place, dict[Any, bool]())
        for (name, distribution), place in zip(distributions.items(), point, strict=True)
    ]

    def there(params: Mapping[str, Any]) -> bool:
        for name, distribution, place, known in wanted:
            if name not in params:
                return False
            value = params[name]
            if isinstance(distribution, CategoricalDistribution):  # choices may be lists
                same = _place(distribution, value) == place
            elif (held := known.get(value)) is not None:
                same = held
            else:
                same = known[value] = _place(distribution, value) == place
            if not same:
                return False
        return True

    return there


def _place(distribution: BaseDistribution, value: Any) -> int | float | str:
    if isinstance(distribution, CategoricalDistribution):
        try:
            return int(distribution.to_internal_repr(value))
        except ValueError:  # queued by hand
            return repr(value)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        return float(value)
    steps = (value - distribution.low) / distribution.step
    outside = abs(steps - round(steps)) > 1e-6 or not 0 <= round(steps) < _count(distribution)
    return repr(value) if outside else round(steps)


def _count(distribution: BaseDistribution) -> int:
    """Number of values; 0 where there are endlessly many."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    return 0 if step is None else round((high - low) / step) + 1


def most_trainings(session: Session) -> int | None:
    """How many trials may have the same parameters; None if that does not matter."""
    settings = session.file.settings.optuna
    if not session.space.distributions:  # every trial is meant to have the same settings
        return None
    if settings.sampler.finite_space or settings.duplicates == "skip":
        return 1
    return settings.max_replicates if settings.duplicates == "replicate" else None


@dataclass(frozen=True)
class Taken:
    """What the trials of a study have tried, are trying or will try again."""

    counts: Mapping[Point, int]
    """trials at each point"""
    undecided: int
    """trials that are about to draw a point"""

    @classmethod
    def by(cls, trials: Iterable[FrozenTrial], session: Session) -> "Taken":
        """Count these trials (see :func:`takers`)."""
        counts: Counter[Point] = Counter()
        undecided = 0
        for trial in trials:
            point = point_of(parameters(trial), session.space.distributions)
            if point is not None:
                counts[point] += 1
            elif trial.state != TrialState.FAIL or trial.user_attrs.get(INTERRUPTED, False):
                undecided += 1
        return cls(counts, undecided)


def takers(study: optuna.Study, *, dead: bool = True) -> Iterator[FrozenTrial]:
    """Of all trials of a study those that have tried a point, try one, or will.

    Args:
        study: of the trials.
        dead: whether trials count whose process is gone; they will be run again.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return (trial for trial in trials if _takes(study, trial, retried, dead))


def _takes(study: optuna.Study, trial: FrozenTrial, retried: set[int | None], dead: bool) -> bool:
    attributes = trial.user_attrs
    if trial.state == TrialState.WAITING:
        return _is_wanted(trial)
    if trial.state == TrialState.RUNNING:
        return (dead and SEED_NUMBER in attributes) or runs(study, trial)
    if attributes.get(INTERRUPTED, False):  # until it is queued again
        return dead and trial.number not in retried and SEED_NUMBER in attributes
    return True  # a point that fails would fail again


def _is_wanted(trial: FrozenTrial) -> bool:
    """Whether a trial waits because a user has queued it or because it was cut off."""
    return RETRY_OF in trial.user_attrs or "fixed_params" in trial.system_attrs


def exhausted(study: optuna.Study, session: Session, *, dead: bool = False) -> bool:
    """Whether no trial waits and no point may be tried once more.

    Args:
        study: of the session.
        session: tells the space, the sampler and what is done about duplicates.
        dead: whether points are taken, too, of trials whose process is gone.
    """
    most, n_points = most_trainings(session), session.space.n_points
    if most is None or n_points is None:
        return False
    trials = study.get_trials(deepcopy=False)
    if len(trials) < most * n_points:
        return False
    if any(trial.state == TrialState.WAITING and _is_wanted(trial) for trial in trials):
        return False
    taken = Taken.by(takers(study, dead=dead), session)
    used = sum(
        min(count, most)
        for point, count in taken.counts.items()
        if all(isinstance(place, int | float) for place in point)
    )
    return used + taken.undecided >= most * n_points


def least_tried(
    taken: Taken,
    distributions: Mapping[str, BaseDistribution],
    values: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """A point of a finite space that was tried least, drawn evenly among these.

    Args:
        taken: how often each was tried.
        distributions: of all parameters.
        values: of all parameters.
        fixed: parameters that are decided.
        rng: draws.

    Returns:
        The parameters that are not decided.
    """
    free = {name: held for name, held in values.items() if name not in fixed}
    tried = dict(_indices(taken, distributions, free, fixed))
    n_points = math.prod(len(held) for held in free.values())
    if len(tried) < n_points:
        index = int(rng.integers(min(n_points - len(tried), 2**62)))
        for used in sorted(tried):
            index += used <= index
    else:
        least = min(tried.values())
        index = int(rng.choice(sorted(i for i, count in tried.items() if count == least)))
    found = {}
    for name, held in reversed(free.items()):
        index, place = divmod(index, len(held))
        found[name] = held[place]
    return found


def _indices(
    taken: Taken,
    distributions: Mapping[str, BaseDistribution],
    free: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
) -> Iterator[tuple[int, int]]:
    """Of the points that were tried and have these parameters: place among all, and how often."""
    for point, count in taken.counts.items():
        index = 0
        for (name, distribution), place in zip(distributions.items(), point, strict=True):
            if name in fixed:
                if place != _place(distribution, fixed[name]):
                    break
            elif isinstance(place, str):
                break
            else:
                index = index * len(free[name]) + (place if isinstance(place, int) else 0)
        else:
            yield index, count
