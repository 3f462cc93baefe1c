"""Which two of many latents are shown: the same ones in every figure of a trial."""

import itertools

import numpy as np

from vaeopt.core.types import Bools, Floats, Ints

__all__ = ["telling_plane"]


def telling_plane(z: Floats, component: Ints, kept: Bools, snr: Floats) -> tuple[int, int]:
    """The two latents that tell the components apart best, in rising order.

    The measure is the trace of S_w^-1 S_b of the kept points in the plane, with the scatter within
    and between components. Without several components: the two with the largest signal to noise.

    Args:
        z: (n, d).
        component: (n,) -1 for none.
        kept: (n,) points that count.
        snr: (d,) signal to noise of each latent.

    Returns:
        Indices from 0; twice the same where there is one latent only.
    """
    dim = z.shape[1]
    if dim < 3:
        return 0, max(0, dim - 1)
    z, component = z[kept], component[kept]
    found = [k for k in np.unique(component) if k >= 0]
    if len(found) < 2:
        first, second = sorted(np.argsort(-snr, kind="stable")[:2].tolist())
        return first, second
    middle = z.mean(axis=0)
    within, between = (np.zeros((dim, dim)) for _ in range(2))
    for k in found:
        own = z[component == k]
        away = own - own.mean(axis=0)
        within += away.T @ away
        step = own.mean(axis=0) - middle
        between += len(own) * np.outer(step, step)
    within += 1e-9 * np.trace(within) * np.eye(dim) + 1e-12 * np.eye(dim)

    def told_apart(pair: tuple[int, int]) -> float:
        plane = np.ix_(pair, pair)
        return float(np.trace(np.linalg.solve(within[plane], between[plane])))

    return max(itertools.combinations(range(dim), 2), key=told_apart)
