"""The Bayesian mixture without Pyro: the same model, guide and recipe by hand (semantics 6)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaeopt.core.types import ElboEstimate, Floats
from vaeopt.kernels.mixture.guide import BayesianDensity
from vaeopt.kernels.mixture.stacked import svi as stacked
from vaeopt.kernels.mixture.stacked.guide import StackedDensity
from vaeopt.kernels.mixture.svi import GuideFit, evidence_costs, fit_guides, unconstrained
from vaeopt.stages.mixture.bgmm import MEANS_LIMIT, Bgmm, NoEvidenceError
from vaeopt.stages.mixture.recipe import LEAST_WEIGHT, MEANS_SD, Median, estimate, partition

__all__ = ["density_of", "fit_directly", "fit_together"]

_NUMBERS = 2**26  # densities that a batch holds at a time, some times over: 512 MB each
_PRIOR_DRAWS = 15  # whose median starts the guide; as many as Pyro takes


def density_of(settings: Bgmm, points: Floats, least_sd: float = 0.0) -> BayesianDensity:
    """The log joint density of these settings.

    Args:
        settings: priors, number of components and overlap.
        points: (S, M, d) in fit space, for S fits.
        least_sd: standard deviations are not taken below this [unit of fit space].
    """
    return BayesianDensity(
        points=np.asarray(points, dtype=np.float64),
        n_components=settings.max_components,
        dirichlet=settings.dirichlet,
        means_limit=MEANS_LIMIT if settings.means_prior == "uniform" else None,
        means_sd=MEANS_SD,
        prior_sd=settings.prior_sd,
        on_variance=settings.prior_on == "variance",
        lkj=settings.lkj,
        least_sd=least_sd,
        least_weight=LEAST_WEIGHT,
        overlap_weight=settings.overlap_weight,
        overlap_weighted=settings.overlap == "weighted",
    )


def fit_directly(
    settings: Bgmm, points: Floats, *, least_sd: float, seed: int
) -> tuple[Median, ElboEstimate]:
    """Fit a diagonal normal guide to the model.

    Args:
        settings: model and recipe.
        points: (M, d) in fit space.
        least_sd: floor of standard deviations [unit of fit space].
        seed: of k-means and of the draws.

    Returns:
        The mixture at the median of the guide, and the bound of the evidence.

    Raises:
        NoEvidenceError: the fit has left the finite numbers.
    """
    rng = np.random.default_rng(seed)
    density = density_of(settings, points[None], least_sd)
    (fit,) = fit_guides(
        density,
        _start(settings, density, points, seed, rng)[None],
        [rng],
        **_recipe(settings),
    )
    _expect_whole(fit)
    costs = evidence_costs(density, fit, settings.elbo_draws, rng)
    return _median(density, fit), estimate(costs, fit.steps, fit.converged)


def fit_together(
    settings: Bgmm,
    points: Sequence[Floats],
    *,
    least_sd: Sequence[float],
    seeds: Sequence[int],
    device: torch.device,
) -> list[tuple[Median, ElboEstimate] | NoEvidenceError]:
    """What :func:`fit_directly` finds for every set, to rounding, or why it finds nothing.

    Args:
        settings: model and recipe.
        points: (M, d) of every set in fit space.
        least_sd: floor of standard deviations of every set [unit of fit space].
        seeds: of k-means and of the draws of every set.
        device: that computes; k-means and draws are the CPU's.
    """
    most = max(1, _NUMBERS // (len(points[0]) * settings.max_components))
    found: list[tuple[Median, ElboEstimate] | NoEvidenceError] = []
    for first in range(0, len(points), most):
        some = slice(first, first + most)
        found += _batch(settings, points[some], least_sd[some], seeds[some], device)
    return found


def _batch(
    settings: Bgmm,
    points: Sequence[Floats],
    least_sd: Sequence[float],
    seeds: Sequence[int],
    device: torch.device,
) -> list[tuple[Median, ElboEstimate] | NoEvidenceError]:
    rngs = [np.random.default_rng(seed) for seed in seeds]
    densities = [
        density_of(settings, own[None], least) for own, least in zip(points, least_sd, strict=True)
    ]
    together = StackedDensity(densities, device)
    start = [
        _start(settings, density, own, seed, rng)
        for density, own, seed, rng in zip(densities, points, seeds, rngs, strict=True)
    ]
    fits = stacked.fit_guides(together, np.stack(start), rngs, **_recipe(settings))
    costs = stacked.evidence_costs(together, fits, settings.elbo_draws, rngs)
    found: list[tuple[Median, ElboEstimate] | NoEvidenceError] = []
    for density, fit, own in zip(densities, fits, costs, strict=True):
        try:
            _expect_whole(fit)
            found.append((_median(density, fit), estimate(own, fit.steps, fit.converged)))
        except NoEvidenceError as error:
            found.append(error)
    return found


def _recipe(settings: Bgmm) -> dict[str, Any]:
    return {
        "init_scale": settings.init_scale,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "stop_gain": settings.stop_gain_nats,
    }


def _expect_whole(fit: GuideFit) -> None:
    """Refuse a fit that has left the finite numbers.

    Raises:
        NoEvidenceError: says when.
    """
    if fit.broken:
        raise NoEvidenceError(f"the evidence bound is not a number in step {fit.steps}")


def _median(density: BayesianDensity, fit: GuideFit) -> Median:
    found = density.components(fit.loc[None])
    return Median(weights=found.weights[0], means=found.means[0], covariances=found.covariances[0])


def _start(
    settings: Bgmm, density: BayesianDensity, points: Floats, seed: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(P,) where the guide is centred."""
    if settings.init == "kmeans":
        return unconstrained(*partition(settings, points, seed), density.means_limit)
    # Medians of draws from the prior for means and spread. Weights and correlations have no median
    # and start at zero in unconstrained space.
    k, d = settings.max_components, points.shape[1]
    draws = (_PRIOR_DRAWS, k, d)
    means = (
        rng.uniform(-MEANS_LIMIT, MEANS_LIMIT, draws)
        if density.means_limit
        else MEANS_SD * rng.standard_normal(draws)
    )
    spread = settings.prior_sd * np.abs(rng.standard_normal(draws))
    even = np.full(k, 1 / k)
    return unconstrained(
        even, np.median(means, axis=0), np.median(spread, axis=0), density.means_limit
    )
