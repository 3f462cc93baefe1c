"""What can be said without any reward: the oracle, chance, one choice for all, every scene."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vaeopt.truth.cube import Cube
from vaeopt.truth.file import WINDOW
from vaeopt.truth.findings import Reference, SceneSummary
from vaeopt.truth.judged import halves, judge, means

__all__ = ["chance", "fixed", "known", "mean_or_none", "oracle", "scene_summary"]

Reals = NDArray[np.float64]


def _families_of(real: Sequence[Cube], values: Sequence[float]) -> dict[str, float]:
    of: dict[str, list[float]] = {}
    for cube, value in zip(real, values, strict=True):
        if np.isfinite(value):
            of.setdefault(cube.scene.family, []).append(value)
    return {family: float(np.mean(mine)) for family, mine in of.items()}


def _mean_of(table: Mapping[str, float]) -> float | None:
    return float(np.mean(list(table.values()))) if table else None


def oracle(real: Sequence[Cube]) -> Reference:
    """The truth itself, known of other trainings of the same configurations."""
    rhos, regrets = [], []
    for cube in real:
        judged = [judge(one[:, None], other, cube.healthy) for one, other in halves(cube)]
        rhos.append(float(np.mean([one.rho[0] for one in judged])) if judged else np.nan)
        regrets.append(float(np.mean([one.regret[0] for one in judged])) if judged else np.nan)
    rho, regret = _families_of(real, rhos), _families_of(real, regrets)
    return Reference(
        name="oracle",
        rho=_mean_of(rho),
        regret=_mean_of(regret),
        rho_by_family=rho,
        regret_by_family=regret,
        what="the truth of one half of the trainings, judged by the other half",
    )


def chance(real: Sequence[Cube]) -> Reference:
    """What a pick without looking costs."""
    regrets = []
    for cube in real:
        blind = np.full((len(cube.params), 1), np.nan)
        regrets.append(float(judge(blind, means(cube.right), cube.healthy).regret[0]))
    regret = _families_of(real, regrets)
    return Reference(
        name="random pick",
        rho=0.0,
        regret=_mean_of(regret),
        rho_by_family=dict.fromkeys(regret, 0.0),
        regret_by_family=regret,
        what="any healthy configuration",
    )


def fixed(real: Sequence[Cube]) -> Reference:
    """The configuration whose regret is least in the mean over the families."""
    steps = min(len({p[WINDOW] for p in cube.params}) for cube in real)
    tables: list[dict[str, float]] = []
    for cube in real:
        right = means(cube.right)
        of: dict[str, list[float]] = {}
        for place, value in zip(cube.places(steps), np.nanmax(right) - right, strict=True):
            of.setdefault(place, []).append(float(value))
        tables.append({place: float(np.mean(mine)) for place, mine in of.items()})
    common = [place for place in tables[0] if all(place in table for table in tables)]
    by_place = {p: _families_of(real, [table[p] for table in tables]) for p in common}
    best = min(by_place, key=lambda p: _mean_of(by_place[p]) or 0.0, default=None)
    regret = {} if best is None else by_place[best]
    return Reference(
        name="always the same",
        rho=None,
        regret=_mean_of(regret),
        rho_by_family={},
        regret_by_family=regret,
        what=f"the one configuration that is best in hindsight: {best}",
    )


def scene_summary(cube: Cube) -> SceneSummary:
    """One scene, without any reward."""
    right, trained = means(cube.right), cube.trained
    at = int(np.nanargmax(right)) if np.isfinite(right).any() else None
    errors = cube.truths.get("k_error", np.full(trained.shape, np.nan))
    return SceneSummary(
        name=cube.scene.name,
        family=cube.scene.family,
        n_classes=cube.n_classes,
        configurations=len(cube.params),
        trainings=int(trained.sum()),
        collapsed=float(1 - cube.feasible[trained].mean()),
        claims_structure=mean_or_none(cube.truths.get("says_structure", cube.right)),
        gain=_mean_gain(cube),
        right_k=mean_or_none(np.where(np.isfinite(errors), errors == 0, np.nan)),
        best=None if at is None else float(right[at]),
        mean=mean_or_none(right),
        best_params={} if at is None else cube.params[at],
        best_knn15=_largest(cube, "knn15"),
        best_angle=_largest(cube, "angle_resultant"),
    )


def _mean_gain(cube: Cube) -> float | None:
    if "gain" not in cube.columns:
        return None
    return mean_or_none(cube.goodness[:, :, cube.columns.index("gain")])


def _largest(cube: Cube, metric: str) -> float | None:
    values = means(cube.truths[metric]) if metric in cube.truths else np.empty(0)
    return known(float(np.nanmax(values))) if np.isfinite(values).any() else None


def mean_or_none(values: Reals) -> float | None:
    """The mean of those that are known."""
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def known(value: float) -> float | None:
    """The value as a plain number; None for NaN."""
    return float(value) if np.isfinite(value) else None
