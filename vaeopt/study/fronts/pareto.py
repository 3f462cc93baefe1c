"""Which finished trials are good: feasible ones, the front, and a compromise on it."""

from collections.abc import Collection, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.core.types import Floats
from vaeopt.study.asking.repeats import superseded
from vaeopt.study.fronts.chebyshev import chebyshev, scaled

__all__ = [
    "best",
    "by_compromise",
    "compromise",
    "costs",
    "feasible",
    "finished",
    "front",
    "leads",
    "margin",
    "pick",
    "representatives",
]


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """COMPLETE trials, collapsed ones included."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def margin(trial: FrozenTrial) -> float:
    """Constraint of a trial: positive if its latents are not fit to be scored."""
    return max(trial.constraints.values(), default=0.0)


def representatives(study: optuna.Study) -> list[FrozenTrial]:
    """COMPLETE trials without those that are part of the mean of a later one."""
    trials = finished(study)
    gone = superseded(trials)
    return [trial for trial in trials if trial.number not in gone]


def feasible(study: optuna.Study) -> list[FrozenTrial]:
    """Of the representatives those that did not collapse: whatever is good is one of them."""
    return [trial for trial in representatives(study) if margin(trial) <= 0]


def costs(study: optuna.Study, trials: list[FrozenTrial]) -> Floats:
    """(n, objectives) values with every objective to be minimised."""
    return _signed(study, [trial.values for trial in trials])


def _signed(study: optuna.Study, values: Sequence[Sequence[float]]) -> Floats:
    maximize = optuna.study.StudyDirection.MAXIMIZE
    signs = [-1.0 if d == maximize else 1.0 for d in study.directions]
    return np.asarray(np.asarray(values, np.float64).reshape(len(values), len(signs)) * signs)


def front(study: optuna.Study) -> list[FrozenTrial]:
    """Non-dominated feasible trials, best first in the first objective.

    Of trials with equal values the earliest stands for all.
    """
    trials = feasible(study)
    values = costs(study, trials)
    chosen: list[int] = []
    for i, value in enumerate(values):
        dominated = (values <= value).all(axis=1) & (values < value).any(axis=1)
        repeated = bool((values[:i] == value).all(axis=1).any())
        if not dominated.any() and not repeated:
            chosen.append(i)
    return [trials[i] for i in sorted(chosen, key=lambda i: tuple(values[i]))]


def leads(study: optuna.Study, values: Sequence[float], *, without: Collection[int] = ()) -> bool:
    """Whether no finished trial dominates a feasible one with these values.

    Args:
        study: with or without finished trials.
        values: one per objective.
        without: numbers of trials that do not count, as the new one takes their place.
    """
    others = [trial for trial in feasible(study) if trial.number not in without]
    there, here = costs(study, others), _signed(study, [values])[0]
    return not ((there <= here).all(axis=1) & (there < here).any(axis=1)).any()


def compromise(study: optuna.Study) -> FrozenTrial | None:
    """The trial of the front nearest to the ideal point, all objectives counting the same.

    Objectives are scaled to [0, 1] by the feasible extremes; the distance is the augmented
    Chebyshev max f + 0.05 sum f (semantics 9.5). None if nothing is feasible.
    """
    return next(iter(by_compromise(study)), None)


def by_compromise(study: optuna.Study) -> list[FrozenTrial]:
    """Feasible trials, nearest to the ideal point first: the best value first if there is one.

    The distance is that of :func:`compromise`; of equals the earliest stands first.
    """
    trials = feasible(study)
    if not trials:
        return []
    places = scaled(costs(study, trials))
    distance = chebyshev(places, np.ones(places.shape[1]))
    return [trials[i] for i in np.argsort(distance, kind="stable")]


def best(study: optuna.Study) -> FrozenTrial:
    """The best trial of one objective, or the compromise of several.

    Raises:
        StudyError: no finished trial, or all of them collapsed.
    """
    chosen = compromise(study)
    if chosen is None:
        count = len(finished(study))
        what = "has no finished trial yet" if count == 0 else f"has {count} trials, all collapsed"
        raise StudyError(
            f"study {study.study_name!r} {what}",
            remedy="run more trials"
            if count == 0
            else "lower vae.kl_scale, or loosen latent_filter in a new study",
        )
    return chosen


def pick(study: optuna.Study, which: str) -> FrozenTrial:
    """The trial called ``which``: a number, or ``best``.

    Raises:
        StudyError: no such finished trial.
    """
    if which == "best":
        return best(study)
    if not which.isdecimal():
        raise StudyError(f"--trial {which!r} is neither a number nor 'best'")
    for trial in finished(study):
        if trial.number == int(which):
            return trial
    numbers = [trial.number for trial in finished(study)]
    known = f"finished trials run from {numbers[0]} to {numbers[-1]}" if numbers else "none is yet"
    raise StudyError(f"no finished trial {which} in study {study.study_name!r}; {known}")
