"""How the best mixture of every K is looked for, whatever holds the starts (semantics 5).

Expectation maximisation (Dempster 1977) with extrapolated steps (SQUAREM, Varadhan and Roland
2008). Many starts take few steps on a subset of the points; the best of them, and what becomes of
their neighbours in K by splitting or removing a component, go on to all points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

__all__ = ["PER_START", "Tools", "search", "subset"]

PER_START = 4
"""drawn starts for one that scikit-learn would take to its end: they cost little"""

_SUBSET = 1000  # points on which starts are compared
_FIRST, _NEIGHBOUR, _LONGER = 14, 20, 40  # steps on the subset
_ROUNDS = 2  # of splitting and removing
_ON, _PROOF, _TO_THE_END = 6, 10, 3  # starts per K on all points, steps, and how many go on
_SAME = 1e-5  # starts whose likelihoods differ by less have found the same optimum
# The winner goes on to a tenth of the tolerance, because another way to the same optimum may by
# chance end its last step a little higher.
_POLISH = 0.1

S = TypeVar("S")


class _Climb(Protocol[S]):
    def __call__(self, phi: Tensor, starts: S, ridge: Tensor, *, steps: int, tol: float) -> S: ...


class _Best(Protocol[S]):
    def __call__(self, starts: S, keep: int, *, least: float, gap: float = 0.0) -> S: ...


class _Neighbours(Protocol[S]):
    def __call__(self, winners: S, ridge: Tensor) -> S | None: ...


class _Joined(Protocol[S]):
    def __call__(self, parts: Sequence[S]) -> S: ...


@dataclass(frozen=True, kw_only=True)
class Tools(Generic[S]):
    """What can be done with starts."""

    climb: _Climb[S]
    best: _Best[S]
    neighbours: _Neighbours[S]
    joined: _Joined[S]


def subset(n_points: int, rng: np.random.Generator) -> Tensor:
    """Numbers of the points on which starts are compared, rising."""
    return torch.from_numpy(np.sort(rng.permutation(n_points)[:_SUBSET]))


def search(
    tools: Tools[S],
    drawn: S,
    phi: Tensor,
    some: Tensor,
    ridge: Tensor,
    *,
    starts: int,
    max_iter: int,
    tol: float,
) -> tuple[S, S]:
    """The best start of every K, when it has converged, and polished.

    Args:
        tools: for these starts.
        drawn: to begin with.
        phi: (..., F, M) features of the points.
        some: (..., F, M') those of the subset.
        ridge: (..., d, d) added to covariances.
        starts: kept per K on the subset, up to two.
        max_iter: most steps of a start on all points, and again to polish.
        tol: a start has converged when a step gains less [nats per sample].
    """
    d, few, m = ridge.shape[-1], some.shape[-1], phi.shape[-1]
    least_few, least = (d + 1) / few, (d + 1) / m

    def run(group: S, steps: int, keep: int) -> S:
        after = tools.climb(some, group, ridge, steps=min(steps, max_iter), tol=tol)
        return tools.best(after, keep, least=least_few, gap=_SAME)

    pool = run(drawn, _FIRST, starts + 2)
    pool = run(pool, _LONGER, starts + 2)
    for _ in range(_ROUNDS):
        near = tools.neighbours(tools.best(pool, 1, least=least_few), ridge)
        if near is None:
            break
        near = run(run(near, _NEIGHBOUR, 3), _LONGER, 3)
        pool = tools.best(tools.joined([pool, near]), starts + 2, least=least_few, gap=_SAME)
    pool = tools.best(pool, _ON, least=least_few, gap=_SAME)
    if few < m:
        pool = tools.climb(phi, pool, ridge, steps=min(_PROOF, max_iter), tol=tol)
        pool = tools.best(pool, _TO_THE_END, least=least)
    last = tools.climb(phi, pool, ridge, steps=max_iter, tol=tol)
    winners = tools.best(last, 1, least=least)
    return winners, tools.climb(phi, winners, ridge, steps=max_iter, tol=_POLISH * tol)
