"""Voronoi grains of nearly equal size, and which building block fills each of them."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.datasets.fields import smooth_field

__all__ = ["distance_to_boundary", "kinds_by_area", "likes_apart", "voronoi_grains"]

Plane = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def voronoi_grains(size_px: int, diameter_px: float, rng: np.random.Generator) -> Labels:
    """Voronoi grains of nearly equal size with wandering boundaries; labels (size, size)."""
    count = max(8, round((size_px / diameter_px) ** 2))
    yx = np.mgrid[:size_px, :size_px].astype(float)
    flat = yx.reshape(2, -1)
    centres = flat[:, rng.choice(flat.shape[1], count, replace=False)]
    for _ in range(4):  # a few steps of Lloyd's algorithm; until convergence they would be hexagons
        owner = _nearest(flat, centres)
        centres = np.stack([flat[:, owner == grain].mean(axis=1) for grain in range(count)], axis=1)
    wander = np.stack([2.5 * smooth_field((size_px, size_px), 9.0, rng) for _ in range(2)])
    return _nearest(yx + wander, centres)


def kinds_by_area(
    grains: Labels, shares: Sequence[float], rng: np.random.Generator
) -> NDArray[np.int64]:
    """A kind for every grain, areas as near to ``shares`` as whole grains allow.

    Args:
        grains: (height, width) labels from 0 on; at least as many as there are kinds.
        shares: of the area, one per kind.
        rng: decides who gets what.

    Returns:
        (n_grains,) index of the kind.
    """
    areas = np.bincount(grains.ravel())
    wanted = np.array(shares) * areas.sum()
    given = np.zeros(len(shares))
    kinds = np.zeros(len(areas), dtype=np.int64)
    order = rng.permutation(len(areas))
    for position, grain in enumerate(order):
        lack = (wanted - given) / wanted
        kind = int(lack.argmax()) if position >= len(shares) else position
        kinds[grain] = kind
        given[kind] += areas[grain]
    return kinds


def likes_apart(grains: Labels, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same kinds, swapped between grains until no swap parts more grains of a kind.

    Args:
        grains: (height, width) labels from 0 on.
        kinds: (n_grains,) kind of each.

    Returns:
        (n_grains,) as many of each kind as before, the boundaries between like grains short.
    """
    shared = _shared_boundary(grains)
    kinds = kinds.copy()
    pairs = list(combinations(range(len(kinds)), 2))

    def alike_px(order: NDArray[np.int64]) -> float:
        kind = kinds[order]
        return float(shared[kind[:, None] == kind].sum())

    while True:
        swaps = []
        for a, b in pairs:
            if kinds[a] != kinds[b]:
                order = np.arange(len(kinds))
                order[[a, b]] = b, a
                swaps.append((alike_px(order), a, b))
        if not swaps or min(swaps)[0] >= alike_px(np.arange(len(kinds))):
            return kinds
        _, a, b = min(swaps)
        kinds[[a, b]] = kinds[[b, a]]


def _shared_boundary(grains: Labels) -> Plane:
    """Length of the boundary between every two grains, (n, n) [px]."""
    count = int(grains.max()) + 1
    shared = np.zeros((count, count))
    for before, after in ((grains[1:], grains[:-1]), (grains[:, 1:], grains[:, :-1])):
        other = before != after
        np.add.at(shared, (before[other], after[other]), 1)
    return shared + shared.T


def _nearest(yx: Plane, centres: Plane) -> Labels:
    """Index (...) of the nearest of the centres (2, n) of every place (2, ...)."""
    owner = np.zeros(yx.shape[1:], dtype=np.int64)
    nearest = np.full(yx.shape[1:], np.inf)
    for index, (y, x) in enumerate(centres.T):
        square = (yx[0] - y) ** 2 + (yx[1] - x) ** 2
        owner[square < nearest] = index
        np.minimum(nearest, square, out=nearest)
    return owner


def distance_to_boundary(grains: Labels) -> Plane:
    """Distance to the nearest pixel of another grain [px]; the image border is no boundary."""
    inner = np.ones(grains.shape, dtype=bool)
    for axis in (0, 1):
        change = np.diff(grains, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        inner[tuple(before)] &= ~change
        inner[tuple(after)] &= ~change
    return np.asarray(ndimage.distance_transform_edt(inner))
