"""What a user prefers, applied to a finished search (semantics 9.5)."""

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from vaeopt.core.errors import StudyError
from vaeopt.core.settings import nearest
from vaeopt.study.fronts.chebyshev import chebyshev, scaled
from vaeopt.study.fronts.pareto import costs, feasible, front

__all__ = ["DRAWS", "distances", "parse_weights", "preferred", "win_share"]

DRAWS = 1000
"""R, sets of weights that win shares are counted over"""
_SETTING = "--weights"


def parse_weights(text: str, names: Iterable[str]) -> dict[str, float]:
    """Weights from ``name=number,name=number``.

    Args:
        text: as typed.
        names: of the objectives; a name may hold commas and equals signs itself.

    Raises:
        StudyError: not of this form, a name that is unknown or there twice, a negative weight, or
            no weight above 0.

    >>> parse_weights("gain=2,icl(w=0.5)=1", ["gain", "icl(w=0.5)"])
    {'gain': 2.0, 'icl(w=0.5)': 1.0}
    """
    known = sorted(names, key=len, reverse=True)
    weights: dict[str, float] = {}
    rest = text.strip()
    while True:
        name = next((name for name in known if rest.startswith(f"{name}=")), None)
        if name is None:
            word, sign, _ = rest.partition("=")
            if not sign or not word.strip():
                raise _malformed(text)
            raise _unknown(word.strip(), known)
        number, comma, rest = rest[len(name) + 1 :].partition(",")
        if name in weights:
            raise StudyError(f"{name!r} has two weights", setting=_SETTING)
        if not re.fullmatch(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*", number):
            raise _malformed(text)
        try:
            weights[name] = float(number)
        except ValueError as error:  # 1.2.3
            raise _malformed(text) from error
        if not comma:
            break
        rest = rest.strip()
    _check(weights, known)
    return weights


def _malformed(text: str) -> StudyError:
    return StudyError(
        f"cannot understand {text!r}",
        setting=_SETTING,
        remedy="write name=number,name=number with the names of objectives",
    )


def _unknown(name: str, known: Iterable[str]) -> StudyError:
    return StudyError(f"no objective {name!r}; {nearest(name, known)}", setting=_SETTING)


def _check(weights: Mapping[str, float], names: Iterable[str]) -> None:
    known = list(names)
    for name, weight in weights.items():
        if name not in known:
            raise _unknown(name, known)
        if not (math.isfinite(weight) and weight >= 0):
            raise StudyError(
                f"the weight of {name!r} must be a number from 0, got {weight:g}", setting=_SETTING
            )
    if not any(weight > 0 for weight in weights.values()):
        raise StudyError("no weight is above 0", setting=_SETTING, remedy="prefer something")


def distances(study: optuna.Study, weights: Mapping[str, float]) -> dict[int, float]:
    """How far each feasible trial is from the ideal one, by trial number.

    Objectives are scaled to [0, 1] by the feasible extremes, the weights so that they sum to 1;
    the distance is the augmented Chebyshev max v f + 0.05 sum v f.

    Args:
        study: with or without finished trials.
        weights: by name of the objective; those that are left out count 0.

    Returns:
        Distances in [0, 1.05]; 0 is as good as the best of every objective that counts.

    Raises:
        StudyError: an unknown name, a negative weight, or no weight above 0.
    """
    names = study.metric_names or [f"value_{i}" for i in range(len(study.directions))]
    _check(weights, names)
    trials = feasible(study)
    if not trials:
        return {}
    wanted = np.asarray([weights.get(name, 0.0) for name in names], dtype=np.float64)
    # By the largest first: the sum of large weights must not overflow.
    wanted = wanted / wanted.max()
    found = chebyshev(scaled(costs(study, trials)), wanted / wanted.sum())
    return {trial.number: float(far) for trial, far in zip(trials, found, strict=True)}


def preferred(study: optuna.Study, weights: Mapping[str, float]) -> list[FrozenTrial]:
    """The front, nearest to the ideal point first; of one objective, all feasible trials.

    Trials at the same distance stand in the order of the front.

    Args:
        study: with or without finished trials.
        weights: by name of the objective; those that are left out count 0.

    Raises:
        StudyError: an unknown name, a negative weight, or no weight above 0.
    """
    far = distances(study, weights)
    trials = front(study) if len(study.directions) > 1 else feasible(study)
    return sorted(trials, key=lambda trial: far[trial.number])


def win_share(study: optuna.Study, *, draws: int = DRAWS, seed: int = 0) -> dict[int, float]:
    """For how many of all possible preferences each feasible trial is the best one.

    Weights are drawn evenly from all that sum to 1 (Dirichlet with parameters 1); each draw is won
    by the trial at the least augmented Chebyshev distance (semantics 9.5), the earliest of equals.

    Args:
        study: with or without finished trials.
        draws: sets of weights.
        seed: of the draws; the same seed gives the same shares.

    Returns:
        Share in [0, 1] by trial number; shares sum to 1, and a dominated trial has none.
    """
    trials = feasible(study)
    if not trials:
        return {}
    points = scaled(costs(study, trials))
    weights = np.random.default_rng(seed).dirichlet(np.ones(points.shape[1]), size=draws)
    wins = np.zeros(len(trials))
    for weight in weights:
        wins[int(np.argmin(chebyshev(points, weight)))] += 1
    return {trial.number: float(n / draws) for trial, n in zip(trials, wins, strict=True)}
