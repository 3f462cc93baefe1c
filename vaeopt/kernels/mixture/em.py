"""Gaussian mixtures for a whole grid of K, all starts at once (semantics 5)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeopt.kernels.mixture.batch import features, maximise
from vaeopt.kernels.mixture.climb import Starts, best, climb, joined
from vaeopt.kernels.mixture.search import PER_START, Tools, search, subset
from vaeopt.kernels.mixture.starts import neighbours, seeded

__all__ = ["EmFit", "fit_grid", "one_thread", "unscaled"]

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
    with one_thread():
        found = _search(
            torch.from_numpy((points - shift) / scale),
            tuple(components),
            ridge,
            starts=starts,
            max_iter=max_iter,
            tol=tol,
            rng=np.random.default_rng(seed),
        )
        return tuple(unscaled(fit, shift, scale, ridge) for fit in found)


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
    phi, chosen = features(points), subset(len(points), rng)
    some = phi[:, chosen].contiguous()
    winners, polished = search(
        Tools(climb=climb, best=best, neighbours=neighbours, joined=joined),
        seeded(points[chosen], some, components, PER_START * starts, rng),
        phi,
        some,
        ridge,
        starts=starts,
        max_iter=max_iter,
        tol=tol,
    )
    return [
        Starts(one.layout, one.statistics, one.value, winner.settled)
        for one, winner in zip(_apart(polished), _apart(winners), strict=True)
    ]


def _apart(starts: Starts) -> list[Starts]:
    return [starts.take(torch.tensor([i])) for i in range(len(starts.layout.sizes))]


def unscaled(fit: Starts, shift: Float64s, scale: Float64s, ridge: Tensor) -> EmFit:
    """A single start, as a fit in the unit of the points."""
    found = maximise(fit.statistics, ridge)
    return EmFit(
        weights=(found.weights / found.weights.sum()).numpy(),
        means=found.means.numpy() * scale + shift,
        covariances=found.covariances.numpy() * np.outer(scale, scale),
        converged=bool(fit.settled[0]),
        proper=bool(found.proper.all() and torch.isfinite(fit.value[0])),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of the same numbers in the same order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
