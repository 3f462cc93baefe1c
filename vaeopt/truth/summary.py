"""What a benchmark says: how well every reward ranks, and what its picks cost (semantics 11.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.truth.cube import Cube
from vaeopt.truth.judged import Judged, halves, judge, means, redrawn

__all__ = ["Interval", "Reference", "RewardSummary", "SceneSummary", "Summary", "summarise"]

Reals = NDArray[np.float64]
_REDRAWN, _RESAMPLED = 100, 1000
_LEVEL = 95


@dataclass(frozen=True)
class Interval:
    """A mean over families, and where 95 % of its bootstrap values lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RewardSummary:
    """One column."""

    name: str
    rho: Interval
    """Spearman with the ARI among healthy configurations; a scene without values counts as 0"""
    regret: Interval
    """ARI that its pick lacks; a scene without values counts as a pick at random"""
    rho_by_family: Mapping[str, float | None]
    """None where it has no value on any scene of the family"""
    regret_by_family: Mapping[str, float]
    rho_all: float
    """the same as ``rho``, collapsed configurations included"""
    regret_all: float
    within: Mapping[str, Mapping[str, float | None]]
    """by searched setting and value: rho among the configurations that share it"""
    structure_at_pick: float | None
    """share of negative controls where the trainings of its pick claim structure"""
    auc_structure: float | None
    """chance that its best value is higher on a scene with structure than on one without"""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What no reward can do without the truth, or any could without looking."""

    name: str
    rho: float | None
    regret: float | None
    regret_by_family: Mapping[str, float]
    rho_by_family: Mapping[str, float]
    what: str


@dataclass(frozen=True, kw_only=True)
class SceneSummary:
    """One scene, without any reward."""

    name: str
    family: str
    n_classes: int
    configurations: int
    trainings: int
    collapsed: float
    """share of the trainings"""
    claims_structure: float | None
    """share of the trainings whose mixture is better than one Gaussian"""
    right_k: float | None
    """share of the trainings that choose the true number of components"""
    best_ari: float | None
    """of a configuration, mean over its trainings"""
    mean_ari: float | None
    best: Mapping[str, Any] = field(default_factory=dict)
    """that configuration"""
    best_knn15: float | None = None
    best_angle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole benchmark."""

    name: str
    rewards: list[RewardSummary]
    """the best first"""
    references: list[Reference]
    scenes: list[SceneSummary]
    families: list[str]
    """with more than one building block"""
    controls: list[str]
    """families with one"""
    trainings: int
    missing: int
    """trainings of the grid that are not finished"""

    def to_table(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def summarise(cubes: Sequence[Cube], *, name: str, missing: int = 0) -> Summary:
    """Everything that is said of a benchmark.

    Args:
        cubes: of the scenes; those without a finished training are left out.
        name: of the benchmark.
        missing: trainings that are not finished.
    """
    cubes = [cube for cube in cubes if cube.trained.any()]
    real = [cube for cube in cubes if cube.structured]
    controls = [cube for cube in cubes if not cube.structured]
    columns = cubes[0].columns if cubes else []
    families = list(dict.fromkeys(cube.scene.family for cube in real))
    rewards = _rewards(real, controls, columns, families) if real else []
    return Summary(
        name=name,
        rewards=sorted(rewards, key=lambda one: (-one.rho.mean, one.regret.mean)),
        references=[_oracle(real), _fixed(real), _chance(real)] if real else [],
        scenes=[_scene(cube) for cube in cubes],
        families=families,
        controls=list(dict.fromkeys(cube.scene.family for cube in controls)),
        trainings=sum(int(cube.trained.sum()) for cube in cubes),
        missing=missing,
    )


def _rewards(
    real: Sequence[Cube], controls: Sequence[Cube], columns: Sequence[str], families: Sequence[str]
) -> list[RewardSummary]:
    family = np.array([cube.scene.family for cube in real])
    healthy = [judge(means(c.goodness), means(c.ari), c.healthy) for c in real]
    everything = [
        judge(means(c.goodness), means(c.ari), np.asarray(c.trained.any(axis=1))) for c in real
    ]
    rho, regrets = _stacked(healthy, "rho"), _stacked(healthy, "regret")
    spread_rho, spread_regret = _bootstrap(real, family, families)
    within = _within(real, family, families, len(columns))
    found = []
    for j, column in enumerate(columns):
        by_family = {f: _mean_or_none(rho[family == f, j]) for f in families}
        found.append(
            RewardSummary(
                name=column,
                rho=_interval(_over(np.nan_to_num(rho), family, families)[j], spread_rho[:, j]),
                regret=_interval(_over(regrets, family, families)[j], spread_regret[:, j]),
                rho_by_family=by_family,
                regret_by_family={f: float(regrets[family == f, j].mean()) for f in families},
                rho_all=float(
                    _over(np.nan_to_num(_stacked(everything, "rho")), family, families)[j]
                ),
                regret_all=float(_over(_stacked(everything, "regret"), family, families)[j]),
                within={
                    path: {value: _known(values[j]) for value, values in groups.items()}
                    for path, groups in within.items()
                },
                structure_at_pick=_structure_at_pick(controls, j),
                auc_structure=_auc(real, controls, j),
            )
        )
    return found


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
            [judge(means(cube.goodness, w), means(cube.ari, w), cube.healthy) for w in weights]
        )
    rho = [np.nan_to_num(_stacked(one, "rho")) for one in drawn]
    regrets = [_stacked(one, "regret") for one in drawn]
    members = [np.flatnonzero(family == f) for f in families]
    totals = np.zeros((2, _RESAMPLED, rho[0].shape[1]))
    for b in range(_RESAMPLED):
        for mine in members:
            for scene in rng.choice(mine, len(mine)):
                again = rng.integers(len(drawn[scene]))
                totals[0, b] += rho[scene][again] / len(mine)
                totals[1, b] += regrets[scene][again] / len(mine)
    totals /= len(families)
    return totals[0], totals[1]


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
                    rows[i] = judge(means(cube.goodness), means(cube.ari), mask).rho
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


# ---- without any reward


def _families_of(real: Sequence[Cube], values: Sequence[float]) -> dict[str, float]:
    of: dict[str, list[float]] = {}
    for cube, value in zip(real, values, strict=True):
        if np.isfinite(value):
            of.setdefault(cube.scene.family, []).append(value)
    return {family: float(np.mean(mine)) for family, mine in of.items()}


def _mean_of(table: Mapping[str, float]) -> float | None:
    return float(np.mean(list(table.values()))) if table else None


def _oracle(real: Sequence[Cube]) -> Reference:
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
        what="the ARI of one half of the trainings, judged by the other half",
    )


def _chance(real: Sequence[Cube]) -> Reference:
    regrets = []
    for cube in real:
        ari, healthy = means(cube.ari), cube.healthy
        usual = float(ari[healthy].mean()) if healthy.any() else np.nan
        regrets.append(float(np.nanmax(ari)) - usual)
    regret = _families_of(real, regrets)
    return Reference(
        name="random pick",
        rho=0.0,
        regret=_mean_of(regret),
        rho_by_family=dict.fromkeys(regret, 0.0),
        regret_by_family=regret,
        what="any healthy configuration",
    )


def _fixed(real: Sequence[Cube]) -> Reference:
    """The configuration whose regret is least in the mean over the families."""
    steps = min(len({p["patches.size_px"] for p in cube.params}) for cube in real)
    tables: list[dict[str, float]] = []
    for cube in real:
        ari = means(cube.ari)
        of: dict[str, list[float]] = {}
        for place, value in zip(cube.places(steps), np.nanmax(ari) - ari, strict=True):
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


def _scene(cube: Cube) -> SceneSummary:
    ari, trained = means(cube.ari), cube.trained
    at = int(np.nanargmax(ari)) if np.isfinite(ari).any() else None
    right = cube.truths.get("k_error", np.full(trained.shape, np.nan))
    return SceneSummary(
        name=cube.scene.name,
        family=cube.scene.family,
        n_classes=cube.n_classes,
        configurations=len(cube.params),
        trainings=int(trained.sum()),
        collapsed=float(1 - cube.feasible[trained].mean()),
        claims_structure=_mean_or_none(cube.truths.get("says_structure", ari)),
        right_k=_mean_or_none(np.where(np.isfinite(right), right == 0, np.nan)),
        best_ari=None if at is None else float(ari[at]),
        mean_ari=_mean_or_none(ari),
        best={} if at is None else cube.params[at],
        best_knn15=_largest(cube, "knn15"),
        best_angle=_largest(cube, "angle_resultant"),
    )


def _largest(cube: Cube, metric: str) -> float | None:
    values = means(cube.truths[metric]) if metric in cube.truths else np.empty(0)
    return _known(float(np.nanmax(values))) if np.isfinite(values).any() else None


def _mean_or_none(values: Reals) -> float | None:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
