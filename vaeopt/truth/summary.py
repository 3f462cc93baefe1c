"""What a benchmark says: how well every reward ranks, and what its picks cost (semantics 11.3)."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vaeopt.truth.columns import Target
from vaeopt.truth.cube import Cube
from vaeopt.truth.findings import Interval, RewardSummary, Summary
from vaeopt.truth.judged import Judged, judge, means, redrawn
from vaeopt.truth.references import (
    chance,
    fixed,
    known,
    oracle,
    scene_summary,
)

__all__ = ["summarise"]

Reals = NDArray[np.float64]
_REDRAWN, _RESAMPLED = 100, 1000
_LEVEL = 95


def summarise(
    cubes: Sequence[Cube],
    *,
    name: str,
    missing: int = 0,
    asked: Collection[str] = (),
    target: Target = "ari_true_k",
) -> Summary:
    """Everything that is said of a benchmark.

    Args:
        cubes: of the scenes; those without a finished training are left out.
        name: of the benchmark.
        missing: trainings that are not finished.
        asked: columns that the file names.
        target: metric of the truth that the scenes were made with.
    """
    cubes = [cube for cube in cubes if cube.trained.any()]
    real = [cube for cube in cubes if cube.structured]
    controls = [cube for cube in cubes if not cube.structured]
    columns = cubes[0].columns if cubes else []
    families = list(dict.fromkeys(cube.scene.family for cube in real))
    rewards = _rewards(real, controls, columns, families, asked) if real else []
    return Summary(
        name=name,
        target=target,
        rewards=sorted(rewards, key=lambda one: (-one.rho.mean, one.regret.mean)),
        references=[oracle(real), fixed(real), chance(real)] if real else [],
        scenes=[scene_summary(cube) for cube in cubes],
        families=families,
        controls=list(dict.fromkeys(cube.scene.family for cube in controls)),
        trainings=sum(int(cube.trained.sum()) for cube in cubes),
        missing=missing,
    )


def _rewards(
    real: Sequence[Cube],
    controls: Sequence[Cube],
    columns: Sequence[str],
    families: Sequence[str],
    asked: Collection[str],
) -> list[RewardSummary]:
    family = np.array([cube.scene.family for cube in real])
    healthy = [judge(means(c.goodness), means(c.right), c.healthy) for c in real]
    everything = [
        judge(means(c.goodness), means(c.right), np.asarray(c.trained.any(axis=1))) for c in real
    ]
    rho, regrets = _stacked(healthy, "rho"), _stacked(healthy, "regret")
    spread_rho, spread_regret = _bootstrap(real, family, families)
    within = _within(real, family, families, len(columns))
    found = []
    for j, column in enumerate(columns):
        by_family = {f: _mean_over_scenes(rho[family == f, j]) for f in families}
        found.append(
            RewardSummary(
                name=column,
                rho=_interval(_over(np.nan_to_num(rho), family, families)[j], spread_rho[:, j]),
                regret=_interval(_over(regrets, family, families)[j], spread_regret[:, j]),
                rho_by_family=by_family,
                regret_by_family={f: float(regrets[family == f, j].mean()) for f in families},
                rho_by_scene={c.scene.name: known(rho[i, j]) for i, c in enumerate(real)},
                regret_by_scene={c.scene.name: float(regrets[i, j]) for i, c in enumerate(real)},
                rho_all=float(
                    _over(np.nan_to_num(_stacked(everything, "rho")), family, families)[j]
                ),
                regret_all=float(_over(_stacked(everything, "regret"), family, families)[j]),
                within={
                    path: {value: known(values[j]) for value, values in groups.items()}
                    for path, groups in within.items()
                },
                structure_at_pick=_structure_at_pick(controls, j),
                auc_structure=_auc(real, controls, j),
                asked=column in asked,
            )
        )
    return found


def _mean_over_scenes(rho: Reals) -> float | None:
    """A scene where the reward has no value counts as 0, as in the mean over families."""
    return None if np.isnan(rho).all() else float(np.nan_to_num(rho).mean())


def _stacked(judged: Sequence[Judged], what: str) -> Reals:
    """One row per scene, one column per reward."""
    return np.stack([getattr(one, what) for one in judged])


def _over(values: Reals, family: NDArray[np.str_], families: Sequence[str]) -> Reals:
    """Mean over the scenes of every family, then over the families: (scenes, m) to (m,)."""
    return np.asarray(np.mean([values[family == f].mean(axis=0) for f in families], axis=0))


def _bootstrap(
    real: Sequence[Cube], family: NDArray[np.str_], families: Sequence[str]
) -> tuple[Reals, Reals]:
    """Means (b, m) of rho and regret with scenes and trainings drawn anew.

    Scenes are drawn within their family; the trainings of every configuration by themselves.
    """
    rng = np.random.default_rng(0)
    drawn: list[list[Judged]] = []
    for cube in real:
        many = cube.trained.shape[1] > 1
        weights = [redrawn(cube, rng) if many else None for _ in range(_REDRAWN if many else 1)]
        drawn.append(
            [judge(means(cube.goodness, w), means(cube.right, w), cube.healthy) for w in weights]
        )
    centre = [judge(means(cube.goodness), means(cube.right), cube.healthy) for cube in real]
    rho = [_moved(one, c, "rho") for one, c in zip(drawn, centre, strict=True)]
    regrets = [_moved(one, c, "regret") for one, c in zip(drawn, centre, strict=True)]
    found = [np.stack([np.nan_to_num(one.rho), one.regret]) for one in centre]
    members = [np.flatnonzero(family == f) for f in families]
    totals = np.zeros((2, _RESAMPLED, rho[0].shape[1]))
    for b in range(_RESAMPLED):
        for mine in members:
            n = len(mine)
            mean = np.mean([found[scene] for scene in mine], axis=0)
            again = np.zeros_like(mean)
            for scene in rng.choice(mine, n):
                draw = rng.integers(len(drawn[scene]))
                again += np.stack([rho[scene][draw], regrets[scene][draw]]) / n
            # Scenes drawn from so few of them vary too little: by (n - 1) / n of their variance.
            wider = np.sqrt(n / (n - 1)) if n > 1 else 1.0
            totals[:, b] += (mean + wider * (again - mean)) / len(families)
    return np.clip(totals[0], -1, 1), np.maximum(totals[1], 0)


def _moved(drawn: Sequence[Judged], centre: Judged, what: str) -> Reals:
    """Redrawn values (r, m) moved so that their mean is the value of all trainings.

    Means over trainings that were drawn twice are noisier, so every rho would be too low by itself.
    """
    values = np.nan_to_num(_stacked(drawn, what))
    return np.asarray(values - values.mean(axis=0) + np.nan_to_num(getattr(centre, what)))


def _interval(mean: float, values: Reals) -> Interval:
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(mean), float(low), float(high))


def _within(
    real: Sequence[Cube], family: NDArray[np.str_], families: Sequence[str], m: int
) -> dict[str, dict[str, Reals]]:
    """Rho (m,) by searched setting and value; NaN where too few configurations share one."""
    paths = list(dict.fromkeys(path for cube in real for p in cube.params for path in p))
    found: dict[str, dict[str, Reals]] = {}
    for path in paths:
        values = list(dict.fromkeys(p[path] for cube in real for p in cube.params if path in p))
        if len(values) < 2:
            continue
        for value in sorted(values, key=lambda v: (isinstance(v, str), v)):
            rows = np.full((len(real), m), np.nan)
            for i, cube in enumerate(real):
                mask = cube.healthy & np.array([p.get(path) == value for p in cube.params])
                if mask.any():
                    rows[i] = judge(means(cube.goodness), means(cube.right), mask).rho
            by_family = np.stack([_column_means(rows[family == f]) for f in families])
            found.setdefault(path, {})[str(value)] = _column_means(by_family)
    return found


def _column_means(values: Reals) -> Reals:
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))


def _picks(cube: Cube) -> Judged:
    """Picks on a scene where every configuration is as right as any other."""
    return judge(means(cube.goodness), np.zeros(len(cube.params)), cube.healthy)


def _structure_at_pick(controls: Sequence[Cube], j: int) -> float | None:
    """By family first, so that every kind of control counts alike."""
    of: dict[str, list[float]] = {}
    for cube in controls:
        pick = _picks(cube).pick[j]
        claims = means(cube.truths["says_structure"])[pick] if pick >= 0 else np.nan
        if np.isfinite(claims):
            of.setdefault(cube.scene.family, []).append(float(claims))
    return float(np.mean([np.mean(one) for one in of.values()])) if of else None


def _auc(real: Sequence[Cube], controls: Sequence[Cube], j: int) -> float | None:
    with_structure, without = (
        [b for c in cs if (b := _best(c, j)) is not None] for cs in (real, controls)
    )
    if not with_structure or not without:
        return None
    gap = np.subtract.outer(with_structure, without)
    return float(np.mean((np.sign(gap) + 1) / 2))


def _best(cube: Cube, j: int) -> float | None:
    values = means(cube.goodness)[cube.healthy, j]
    values = values[np.isfinite(values)]
    return float(values.max()) if len(values) else None
