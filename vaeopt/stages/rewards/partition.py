"""Partitions of key points under one fit, and how far two of them agree (semantics 8)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.types import Bools, Floats, Ints, Mixture, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel

__all__ = [
    "Agreement",
    "agreement",
    "check_inside",
    "fit_space",
    "has_partitions",
    "labels_at",
    "partition",
    "recut_ami",
]

_LEAST_INSIDE = 50  # key points; the chance-corrected AMI of fewer is mostly noise


class Agreement(NamedTuple):
    """How far two partitions agree: 1 if they are the same, near 0 if they are unrelated."""

    ari: float
    """adjusted Rand index (Hubert and Arabie 1985)"""
    ami: float
    """adjusted mutual information, arithmetic mean of the entropies (Vinh 2010)"""


def fit_space(mixture: Mixture, z: Floats) -> Floats:
    """Latents (n, d) as the mixture sees them (semantics 5.1)."""
    return np.asarray((np.asarray(z, np.float64) - mixture.shift) @ mixture.transform.T)


def labels_at(mixture: Mixture, z: Floats, components: int) -> Ints | None:
    """Most probable component of any latents under the fit with exactly this K.

    The fit may be a rejected one: a small component or a late convergence makes a bad model, and
    still a partition.

    Args:
        mixture: gives the fits and the way into fit space.
        z: (n, d) latents, as the encoder gives them.
        components: K.

    Returns:
        (n,) labels from 0 to K - 1; None if K is not in the grid or its fit has no parameters.
    """
    if mixture.chosen is None:  # then the way into fit space is not known either
        return None
    for fit in mixture.fits:
        if fit.n_components == components and fit.covariances.any():
            scaled = fit_space(mixture, z)
            joint = kernel.log_joint(scaled, fit.weights, fit.means, fit.covariances)
            return np.asarray(joint.argmax(axis=1), dtype=np.int64)
    return None


def partition(run: WorkflowRun, components: int, z: Floats | None = None) -> Ints | None:
    """Labels of all key points of a run, or of other latents ``z`` (n, d), at this K.

    Returns:
        (n,) labels; None if there is no fit, or if fewer distinct points were fitted than the fit
        has free parameters: a few repeated points are perfectly stable and say nothing.
    """
    fitted = run.latents.z[run.mixture.fit_index]
    needed = kernel.n_free_parameters(components, run.latents.latent_dim)
    if len(np.unique(fitted, axis=0)) < needed:
        return None
    return labels_at(run.mixture, run.latents.z if z is None else z, components)


def has_partitions(run: WorkflowRun, components: Iterable[int]) -> bool:
    """Whether there is a partition of the key points for every one of these K."""
    return all(partition(run, k) is not None for k in components)


def agreement(a: Ints, b: Ints) -> Agreement:
    """ARI and AMI of two partitions (n,) of the same points.

    Returns:
        At most 1; both are 0 if one of the partitions has a single part, which agrees with
        everything by chance.

    >>> found = agreement([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 2])  # T15
    >>> round(found.ari, 6), round(found.ami, 6)
    (0.444444, 0.502361)
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    if min(len(np.unique(a)), len(np.unique(b))) < 2:
        return Agreement(0.0, 0.0)
    return Agreement(float(adjusted_rand_score(a, b)), float(adjusted_mutual_info_score(a, b)))


def recut_ami(run: WorkflowRun, pose: str, components: int) -> float | None:
    """AMI of the partitions of the patches and of the same patches cut again (semantics 8.2).

    Posterior means of both are labelled by the same fit. Only key points with room for the second
    window count.

    Args:
        run: with ``run.recuts[pose]``.
        pose: ``rotation`` or ``jitter``.
        components: K.

    Returns:
        At most 1; None if there is nothing to compute from.
    """
    second = run.recuts.get(pose)
    if second is None:
        return None
    before = partition(run, components, run.latents.z_mean[second.inside])
    after = partition(run, components, second.z_mean[second.inside])
    return None if before is None or after is None else agreement(before, after).ami


def check_inside(kind: str, inside: Bools) -> None:
    """Refuse a study with too few key points that can be cut again.

    Raises:
        DataError: fewer than 50 have room for the second window.
    """
    if inside.sum() < _LEAST_INSIDE:
        raise DataError(
            f"reward {kind!r} cuts windows a second time, and only {inside.sum()} of "
            f"{len(inside)} key points have room for that; at least {_LEAST_INSIDE} are needed",
            setting="workflow.rewards",
            remedy="leave the reward out, lower the largest patches.size_px, loosen the detector "
            "or use a larger image",
        )
