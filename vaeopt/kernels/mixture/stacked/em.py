"""Grids of Gaussian mixtures for many sets of points at once, on a GPU (semantics 5)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vaeopt.kernels.mixture.batch import Layout, features
from vaeopt.kernels.mixture.climb import Starts
from vaeopt.kernels.mixture.em import EmFit, one_thread, unscaled
from vaeopt.kernels.mixture.search import PER_START, Tools, search, subset
from vaeopt.kernels.mixture.stacked.climb import Stack, best, climb, joined
from vaeopt.kernels.mixture.stacked.starts import neighbours, seeded

__all__ = ["fit_grids"]

Float64s = NDArray[np.float64]


def fit_grids(
    points: Float64s,
    components: Sequence[int],
    *,
    starts: int = 10,
    max_iter: int = 500,
    tol: float = 1e-5,
    reg_covar: Sequence[float],
    seeds: Sequence[int],
    device: torch.device,
) -> list[tuple[EmFit, ...]]:
    """What ``mixture.em.fit_grid`` finds for every set, to rounding.

    Both begin at the same starts. Sets do not depend on each other.

    Args:
        points: (T, M, d).
        components: every K, rising; not more than M.
        starts: effort; four times as many starts are drawn per K.
        max_iter: most steps of a start on all points, and again to polish the best.
        tol: a start has converged when an EM step gains less [nats per sample].
        reg_covar: of every set, added to the diagonals of covariances [unit of points, squared].
        seeds: of every set, of its starts and of its subset.
        device: that computes.

    Returns:
        For every set one fit per K, in their order.
    """
    shift, scale = points.mean(axis=1), points.std(axis=1)
    scale = np.where(scale > 0, scale, 1.0)
    ridge = np.eye(points.shape[2]) * (np.asarray(reg_covar)[:, None] / scale**2)[:, None]
    scaled = [torch.from_numpy(own) for own in (points - shift[:, None]) / scale[:, None]]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    with one_thread():
        phi = [features(own) for own in scaled]
        chosen = [subset(len(own), rng) for own, rng in zip(scaled, rngs, strict=True)]
        few = [own[index] for own, index in zip(scaled, chosen, strict=True)]
        some = torch.stack([own[:, index] for own, index in zip(phi, chosen, strict=True)])
        some = some.to(device)
        winners, polished = search(
            Tools(climb=climb, best=best, neighbours=neighbours, joined=joined),
            seeded(few, some, tuple(components), PER_START * starts, rngs),
            torch.stack(phi).to(device),
            some,
            torch.from_numpy(ridge).to(device),
            starts=starts,
            max_iter=max_iter,
            tol=tol,
        )
        found = _on_host(polished, winners)
        return [
            tuple(unscaled(fit, shift[t], scale[t], torch.from_numpy(ridge[t])) for fit in own)
            for t, own in enumerate(found)
        ]


def _on_host(polished: Stack, winners: Stack) -> list[list[Starts]]:
    """The single starts of every set."""
    statistics, value = polished.statistics.cpu(), polished.value.cpu()
    settled, runs = winners.settled.cpu(), polished.layout.runs
    return [
        [
            Starts(Layout((k,)), statistics[t, rows], value[t, starts], settled[t, starts])
            for starts, rows, k in runs
        ]
        for t in range(len(value))
    ]
