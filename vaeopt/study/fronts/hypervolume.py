"""The part of the space of objectives that a set of points dominates (semantics 9.6)."""

import numpy as np
import optuna

from vaeopt.core.errors import StudyError
from vaeopt.core.types import Bools, Floats
from vaeopt.study.fronts.chebyshev import scaled
from vaeopt.study.fronts.pareto import costs, feasible, finished

__all__ = ["REFERENCE", "hypervolume", "hypervolume_history", "running_hypervolume"]

REFERENCE = 1.1
"""reference of every scaled objective: a little beyond the worst feasible value"""


def hypervolume(points: Floats, reference: Floats) -> float:
    """Volume between the points and the reference, all objectives to be minimised.

    Exact, by slices along the last objective: quick enough for one to four objectives.

    Args:
        points: (n, m); those that are not better than the reference in every objective add
            nothing.
        reference: (m,).

    Returns:
        At least 0, in the product of the units of the objectives.
    """
    inside = points[(points < reference).all(axis=1)]
    return _volume(_non_dominated(inside), reference)


def _volume(points: Floats, reference: Floats) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    tops = np.append(ordered[1:, -1], reference[-1])
    if points.shape[1] == 2:
        widths = reference[0] - np.minimum.accumulate(ordered[:, 0])
        return float(np.sum(widths * (tops - ordered[:, -1])))
    volume = 0.0
    for i, height in enumerate(tops - ordered[:, -1]):
        if height > 0:
            volume += height * _volume(_non_dominated(ordered[: i + 1, :-1]), reference[:-1])
    return volume


def _non_dominated(points: Floats) -> Floats:
    unique = np.unique(points, axis=0)
    no_worse = (unique[:, None, :] <= unique[None, :, :]).all(axis=2)
    return np.asarray(unique[no_worse.sum(axis=0) == 1])  # each point is no worse than itself


def hypervolume_history(study: optuna.Study, baseline: optuna.Study | None = None) -> Floats:
    """Hypervolume after each finished trial, in the order of their numbers.

    Objectives are scaled to [0, 1] by the extremes of all feasible trials, of the baseline too, so
    that the histories of both compare: swap the two for the other one. The reference is 1.1 in
    every objective.

    Args:
        study: with or without finished trials.
        baseline: another study of the same objectives, by random search for example.

    Returns:
        (n_finished,) never falling, from 0 (nothing feasible yet) to at most 1.1 per objective.

    Raises:
        StudyError: the baseline has other objectives.
    """
    trials = finished(study)
    counted = {trial.number for trial in feasible(study)}
    good = np.asarray([trial.number in counted for trial in trials], dtype=np.bool_)
    history = np.zeros(len(trials))
    if not good.any():
        return history
    values = costs(study, trials)
    range_of = values[good]
    if baseline is not None:
        if (baseline.metric_names, baseline.directions) != (study.metric_names, study.directions):
            raise StudyError(
                f"study {baseline.study_name!r} has other objectives than {study.study_name!r}",
                setting="--baseline",
                remedy="run the same study with another sampler",
            )
        range_of = np.vstack([range_of, costs(baseline, feasible(baseline))])
    return running_hypervolume(scaled(values, range_of), good)


def running_hypervolume(places: Floats, counted: Bools) -> Floats:
    """Hypervolume of the first one, two, ... of some points below the usual reference.

    Args:
        places: (n, m) scaled costs.
        counted: (n,) points that are feasible.

    Returns:
        (n,) never falling.
    """
    history = np.zeros(len(places))
    reference = np.full(places.shape[1], REFERENCE)
    front, volume = places[:0], 0.0
    for i, place in enumerate(places):
        if counted[i] and not (front <= place).all(axis=1).any():
            front = _non_dominated(np.vstack([front, place]))
            volume = _volume(front, reference)
        history[i] = volume
    return history
