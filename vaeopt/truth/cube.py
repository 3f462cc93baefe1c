"""Rows of a scene as arrays: configurations x trainings x columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.truth.columns import Direction, Target
from vaeopt.truth.file import WINDOW, Scene
from vaeopt.truth.ranks import rank_sum
from vaeopt.truth.rows import Row, configuration

__all__ = ["Cube", "cube_of"]

Reals = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cube:
    """Everything that is known of one scene; NaN where something is not."""

    scene: Scene
    n_classes: int
    params: list[dict[str, Any]]
    """(n,) configurations"""
    columns: list[str]
    """(m,) rewards"""
    goodness: Reals
    """(n, s, m) values, turned so that higher is better"""
    truths: Mapping[str, Reals]
    """(n, s) of every metric of the truth"""
    feasible: NDArray[np.bool_]
    """(n, s) whether the latents are healthy"""
    trained: NDArray[np.bool_]
    """(n, s)"""
    target: Target = "ari_true_k"
    """metric that counts"""

    @property
    def right(self) -> Reals:
        """(n, s) how right every training is, in the metric that counts; higher is better."""
        return self.truths[self.target]

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """(n,) whether no training of the configuration has collapsed, and there is one."""
        return np.asarray((self.feasible | ~self.trained).all(axis=1) & self.trained.any(axis=1))

    @property
    def structured(self) -> bool:
        """Whether there is more than one building block."""
        return self.n_classes > 1

    def places(self, steps: int) -> list[str]:
        """Names of the configurations that are the same on scenes with other windows.

        Args:
            steps: windows are counted from the smallest, 0, to the largest, ``steps`` - 1.
        """
        windows = sorted({p[WINDOW] for p in self.params})
        last = max(1, len(windows) - 1)
        names = []
        for params in self.params:
            place = round(windows.index(params[WINDOW]) / last * (steps - 1))
            names.append(configuration({**params, WINDOW: f"window {place + 1} of {steps}"}))
        return names


def cube_of(
    scene: Scene,
    n_classes: int,
    rows: Sequence[Row],
    directions: Mapping[str, Direction],
    *,
    rank_sums: Mapping[str, Sequence[str]] | None = None,
    target: Target = "ari_true_k",
) -> Cube:
    """The rows of a scene in order.

    Args:
        scene: where they were trained.
        n_classes: building blocks of the scene.
        rows: finished trainings.
        directions: of every column.
        rank_sums: name of a combination: columns whose ranks are summed, training by training.
        target: metric of the truth that counts.
    """
    keys: dict[str, dict[str, Any]] = {}
    for row in rows:
        keys.setdefault(configuration(row.params), dict(row.params))
    seeds = sorted({row.seed for row in rows})
    shape = len(keys), len(seeds)
    columns = list(directions)
    goodness = np.full((*shape, len(columns)), np.nan)
    names = list(dict.fromkeys(name for row in rows for name in row.truth)) or [target]
    truths = {name: np.full(shape, np.nan) for name in names}
    feasible, trained = np.zeros(shape, bool), np.zeros(shape, bool)
    at = {key: i for i, key in enumerate(keys)}
    signs = np.array([1.0 if directions[name] == "maximize" else -1.0 for name in columns])
    for row in rows:
        i, s = at[configuration(row.params)], seeds.index(row.seed)
        goodness[i, s] = [_number(row.scores.get(name)) for name in columns]
        for name in names:
            truths[name][i, s] = _number(row.truth.get(name))
        feasible[i, s], trained[i, s] = row.feasible, True
    goodness *= signs
    for name, parts in (rank_sums or {}).items():
        chosen = goodness[:, :, [columns.index(part) for part in parts]]
        summed = [rank_sum(chosen[:, s]) for s in range(len(seeds))]
        extra = np.stack(summed, axis=1) if seeds else np.zeros(shape)
        goodness = np.concatenate([goodness, extra[:, :, None]], axis=2)
        columns.append(name)
    return Cube(
        scene=scene,
        n_classes=n_classes,
        params=list(keys.values()),
        columns=columns,
        goodness=goodness,
        truths=truths,
        feasible=feasible,
        trained=trained,
        target=target,
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
