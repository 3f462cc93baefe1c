"""What every mixture model is, which points are fitted, and how fits become a mixture."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from vaeopt.core.seeds import Seeds, derive
from vaeopt.core.settings import Plugin
from vaeopt.core.types import Bools, ElboEstimate, Floats, GaussianMixtureFit, Ints, Mixture
from vaeopt.kernels.mixture import reference as kernel

__all__ = [
    "FitRequest",
    "FitSpace",
    "MixtureModel",
    "choose_points",
    "describe",
    "expect_bounded",
    "failed",
    "fit_space",
    "measured",
]


# In units of the points' own standard deviation: closer points are the same but for rounding.
_SAME = 1e-6
_CROWDED = 0.01  # share of points that may be such copies: too few to decide a score


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """One of several fits; the fields are the arguments of ``MixtureModel.fit``."""

    z: Floats
    """(n, d)"""
    kept: Bools
    """(n,)"""
    fit_index: Ints
    """(M,)"""
    seeds: Seeds


class MixtureModel(Plugin, family="mixture"):
    """Fits clusters to latents."""

    max_points: Annotated[int, Field(ge=10)] = 2000
    """most points in one fit; every trial of a study fits the same number (semantics 4.4)"""

    subsets: Annotated[int, Field(ge=1, le=50)] = 1
    """B: the mixture is fitted to this many subsets of the kept points, and its scores are
    averaged over them (semantics 4.5)"""

    estimates_elbo: ClassVar[bool] = False
    """whether fits carry an evidence lower bound"""

    @property
    @abstractmethod
    def raw_space(self) -> bool:
        """Whether latents are fitted as they are, so that their scale enters the scores."""

    @abstractmethod
    def fit(self, z: Floats, *, kept: Bools, fit_index: Ints, seeds: Seeds) -> Mixture:
        """Fit to ``z[fit_index]`` and say what the result makes of every row of ``z``.

        Args:
            z: (n, d) latents of all patches.
            kept: (n,) those that passed the density filter.
            fit_index: (M,) rows to fit.
            seeds: randomness of the run.

        Never raises for degenerate latents: returns a mixture with ``failure`` set.
        """

    def fit_many(self, requests: Sequence[FitRequest]) -> list[Mixture]:
        """The fits of several trials, replicates or subsets, in their order.

        Each is what :meth:`fit` finds, up to the rounding of sums. A model that gains from fitting
        them together does so here.
        """
        return [
            self.fit(one.z, kept=one.kept, fit_index=one.fit_index, seeds=one.seeds)
            for one in requests
        ]


def choose_points(kept: Bools, n_fit: int, study_seed: int, *, subset: int = 0) -> Ints:
    """The M points to fit: among the kept ones, those that come first in a fixed shuffle.

    The shuffle depends on the study only, so all trials prefer the same key points and their
    scores share as much sampling noise as possible.

    Returns:
        (min(M, kept),) ascending row indices.
    """
    key = ("fit-subset",) if subset == 0 else ("fit-subset", subset)
    order = np.random.default_rng(derive(study_seed, *key)).permutation(len(kept))
    return np.sort(order[kept[order]][:n_fit])


@dataclass(frozen=True, kw_only=True)
class FitSpace:
    """The map from latents to what is fitted (semantics 5.1)."""

    name: str
    shift: Floats
    """(d,)"""
    transform: Floats
    """(d, d)"""

    def __call__(self, z: Floats) -> Floats:
        """Latents (n, d) in fit space."""
        return np.asarray((z - self.shift) @ self.transform.T)


def fit_space(points: Floats, name: str) -> FitSpace:
    """The fit space that these (M, d) points decide.

    Raises:
        numpy.linalg.LinAlgError: the points are too few or do not span the space; says so.
    """
    if len(np.unique(points, axis=0)) < points.shape[1] + 1:
        raise np.linalg.LinAlgError("fewer distinct points than dimensions + 1")
    shift, transform = kernel.whitening(points, name)
    return FitSpace(name=name, shift=shift, transform=transform)


def expect_bounded(points: Floats) -> int:
    """Refuse points whose likelihood has no bound: a component on them would buy any score.

    Args:
        points: (M, d) in fit space.

    Returns:
        How many of them are distinct.

    Raises:
        numpy.linalg.LinAlgError: they do not span the space, or many of them are the same; says
            so.
    """
    m, d = points.shape
    fit_space(points, "whiten")  # refuses what spans less than all dimensions, in any space
    scale = float(np.sqrt(points.var(axis=0).mean()))
    places = np.round(points / (_SAME * scale))
    copies = np.unique(places, axis=0, return_counts=True)[1]
    crowded = int(copies[copies > d + 1].sum())
    if crowded > _CROWDED * m:
        raise np.linalg.LinAlgError(
            f"{crowded} of {m} fitted points lie where more than {d + 1} are the same: "
            "their likelihood has no bound"
        )
    return len(copies)


def measured(
    points: Floats, weights: Floats, means: Floats, covariances: Floats, rejected: str = ""
) -> GaussianMixtureFit:
    """A mixture with these parameters and the primitives of its scores on the fitted points.

    Args:
        points: (M, d) in fit space.
        weights: (K,).
        means: (K, d).
        covariances: (K, d, d).
        rejected: why it must not be chosen; empty if it may.
    """
    (m, d), k = points.shape, len(weights)
    joint = kernel.log_joint(points, weights, means, covariances)
    tau = kernel.responsibilities(joint)
    return GaussianMixtureFit(
        n_components=k,
        n_points=m,
        latent_dim=d,
        n_free=kernel.n_free_parameters(k, d),
        log_likelihood_total=float(kernel.log_likelihood(joint).sum()),
        entropy_total=kernel.entropy(tau) if k > 1 else 0.0,
        map_log_responsibility_total=float(np.log(tau.max(axis=1)).sum()),
        weights=weights,
        means=means,
        covariances=covariances,
        rejected=rejected,
    )


def describe(
    z: Floats,
    *,
    kept: Bools,
    fit_index: Ints,
    space: FitSpace,
    fits: tuple[GaussianMixtureFit, ...],
    chosen: int,
    selection_weight: float | None = None,
    elbo: ElboEstimate | None = None,
) -> Mixture:
    """What the chosen fit says of every patch, fitted or not.

    Args:
        z: (n, d) latents of all patches.
        kept: (n,) those that passed the density filter.
        fit_index: (M,) rows that were fitted.
        space: in which they were fitted.
        fits: all fits.
        chosen: index of the one that labels the patches.
        selection_weight: w_sel, where it has decided ``chosen`` for every reward.
        elbo: of a Bayesian mixture.
    """
    best, scaled = fits[chosen], space(z)
    tau = kernel.responsibilities(
        kernel.log_joint(scaled, best.weights, best.means, best.covariances)
    )
    distance2 = kernel.mahalanobis2(scaled, best.means, best.covariances)
    return Mixture(
        fits=fits,
        chosen=chosen,
        selection_weight=selection_weight,
        space=space.name,
        shift=space.shift,
        transform=space.transform,
        fit_index=fit_index,
        kept=kept,
        responsibilities=tau,
        core=_core_points(tau.argmax(axis=1), distance2, kept),
        elbo=elbo,
    )


def failed(
    reason: str,
    *,
    kept: Bools,
    fit_index: Ints,
    latent_dim: int,
    space: str,
    fits: tuple[GaussianMixtureFit, ...] = (),
    selection_weight: float | None = None,
) -> Mixture:
    """The mixture of latents that cannot be fitted, for this reason."""
    return Mixture(
        fits=fits,
        chosen=None,
        selection_weight=selection_weight,
        space=space,
        shift=np.zeros(latent_dim),
        transform=np.eye(latent_dim),
        fit_index=fit_index,
        kept=kept,
        responsibilities=np.zeros((len(kept), 0)),
        core=np.zeros(len(kept), dtype=bool),
        failure=reason,
    )


def _core_points(label: Ints, distance2: Floats, kept: Bools, share: float = 0.25) -> Bools:
    """Kept points nearest to their component's mean, ceil(share n_k) of each (semantics 5.8)."""
    core = np.zeros(len(label), dtype=bool)
    for k in range(distance2.shape[1]):
        members = np.flatnonzero(kept & (label == k))
        order = np.argsort(distance2[members, k], kind="stable")
        core[members[order[: int(np.ceil(share * len(members)))]]] = True
    return core
