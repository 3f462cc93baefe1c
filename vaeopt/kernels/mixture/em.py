"""Gaussian mixtures for a whole grid of K, all starts at once (semantics 5).

Expectation maximisation (Dempster 1977) with extrapolated steps (SQUAREM, Varadhan and Roland
2008). Many starts take few steps on a subset of the points; the best of them, and what becomes of
their neighbours in K by splitting or removing a component, go on to all points.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeopt.kernels.mixture.batch import features, maximise
from vaeopt.kernels.mixture.climb import Starts, best, climb, joined
from vaeopt.kernels.mixture.starts import neighbours, seeded

__all__ = ["EmFit", "fit_grid"]

_SUBSET = 1000  # points on which starts are compared
_PER_START = 4  # drawn starts for one that scikit-learn would take to its end: they cost little
_FIRST, _NEIGHBOUR, _LONGER = 14, 20, 40  # steps on the subset
_ROUNDS = 2  # of splitting and removing
_ON, _PROOF, _TO_THE_END = 6, 10, 3  # starts per K on all points, steps, and how many go on
_SAME = 1e-5  # starts whose likelihoods differ by less have found the same optimum
# The winner goes on to a tenth of the tolerance, because another way to the same optimum may by
# chance end its last step a little higher.
_POLISH = 0.1

Float64s = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EmFit:
    """The best mixture that was found for one K."""

    weights: Float64s
    """(K,)"""
    means: Float64s
    """(K, d)"""
    covariances: Float64s
    """(K, d, d)"""
    converged: bool
    """whether a step gained less than the tolerance"""
    proper: bool
    """whether all covariances are positive definite; if not, the rest means nothing"""


def fit_grid(
    points: Float64s,
    components: Sequence[int],
    *,
    starts: int = 10,
    max_iter: int = 500,
    tol: float = 1e-5,
    reg_covar: float = 1e-6,
    seed: int = 0,
) -> tuple[EmFit, ...]:
    """Fit a mixture with full covariances for every K.

    A start in which every component holds d + 1 expected points goes before one in which a
    component holds fewer, whatever their likelihoods: those without bound come from the latter.

    Args:
        points: (M, d).
        components: every K, rising; not more than M.
        starts: effort; four times as many starts are drawn per K.
        max_iter: most steps of a start on all points, and again to polish the best.
        tol: a start has converged when an EM step gains less [nats per sample].
        reg_covar: added to the diagonals of covariances [unit of points, squared].
        seed: of the starts and of the subset; the answer depends on nothing else.

    Returns:
        One fit per K, in their order.
    """
    shift, scale = points.mean(axis=0), points.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    ridge = torch.from_numpy(np.diag(reg_covar / scale**2))
    with _one_thread():
        found = _search(
            torch.from_numpy((points - shift) / scale),
            tuple(components),
            ridge,
            starts=starts,
            max_iter=max_iter,
            tol=tol,
            rng=np.random.default_rng(seed),
        )
        return tuple(_unscaled(fit, shift, scale, ridge) for fit in found)


def _search(
    points: Tensor,
    components: tuple[int, ...],
    ridge: Tensor,
    *,
    starts: int,
    max_iter: int,
    tol: float,
    rng: np.random.Generator,
) -> list[Starts]:
    """The best start of every K."""
    m, d = points.shape
    phi = features(points)
    chosen = torch.from_numpy(np.sort(rng.permutation(m)[:_SUBSET]))
    few, some = points[chosen], phi[:, chosen].contiguous()
    least_few, least = (d + 1) / len(few), (d + 1) / m

    def run(group: Starts, steps: int, keep: int) -> Starts:
        after = climb(some, group, ridge, steps=min(steps, max_iter), tol=tol)
        return best(after, keep, least=least_few, gap=_SAME)

    pool = run(seeded(few, some, components, _PER_START * starts, rng), _FIRST, starts + 2)
    pool = run(pool, _LONGER, starts + 2)
    for _ in range(_ROUNDS):
        near = neighbours(best(pool, 1, least=least_few), ridge)
        if near is None:
            break
        near = run(run(near, _NEIGHBOUR, 3), _LONGER, 3)
        pool = best(joined([pool, near]), starts + 2, least=least_few, gap=_SAME)
    pool = best(pool, _ON, least=least_few, gap=_SAME)
    if len(few) < m:
        pool = climb(phi, pool, ridge, steps=min(_PROOF, max_iter), tol=tol)
        pool = best(pool, _TO_THE_END, least=least)
    winners = best(climb(phi, pool, ridge, steps=max_iter, tol=tol), 1, least=least)
    polished = climb(phi, winners, ridge, steps=max_iter, tol=_POLISH * tol)
    return [
        Starts(one.layout, one.statistics, one.value, winner.settled)
        for one, winner in zip(_apart(polished), _apart(winners), strict=True)
    ]


def _apart(starts: Starts) -> list[Starts]:
    return [starts.take(torch.tensor([i])) for i in range(len(starts.layout.sizes))]


def _unscaled(fit: Starts, shift: Float64s, scale: Float64s, ridge: Tensor) -> EmFit:
    found = maximise(fit.statistics, ridge)
    return EmFit(
        weights=(found.weights / found.weights.sum()).numpy(),
        means=found.means.numpy() * scale + shift,
        covariances=found.covariances.numpy() * np.outer(scale, scale),
        converged=bool(fit.settled[0]),
        proper=bool(found.proper.all() and torch.isfinite(fit.value[0])),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of the same numbers in the same order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
