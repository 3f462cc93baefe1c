"""The Bayesian mixture as a Pyro program, and its guide (semantics 6); imported when fitted."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import torch
from pyro import distributions, infer
from pyro.optim.clipped_adam import ClippedAdam
from torch import Tensor

from vaeopt.core.types import ElboEstimate, Floats
from vaeopt.kernels.mixture import bayesian as kernel
from vaeopt.kernels.mixture.svi import settled
from vaeopt.stages.mixture.bgmm import MEANS_LIMIT, Bgmm, NoEvidenceError
from vaeopt.stages.mixture.recipe import LEAST_WEIGHT, MEANS_SD, Median, estimate, partition

__all__ = ["BayesianMixture", "fit_guide"]

# Pyro annotates some of its functions only.
_dist: Any = distributions
_infer: Any = infer


class _FlooredDirichlet(distributions.Dirichlet):
    """Dirichlet whose density stops growing where a weight is below the floor.

    Its density grows without bound towards weight 0, which rounding would reach. It is lowered,
    never raised, so that a bound of the evidence stays one.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density with floored weights."""
        floored = value.clamp(min=LEAST_WEIGHT)
        density: Tensor = super().log_prob(floored)  # type: ignore[no-untyped-call]  # torch's
        return density


class BayesianMixture:
    """The generative model of the points: a Pyro program.

    Sites: ``weights`` (K,), ``means`` (K, d), ``spread`` (K, d; standard deviations or variances),
    ``correlations`` (K, d, d; Cholesky factors, from two latents on), and the factors ``points``
    and, while fitting, ``overlap``.

    Args:
        settings: priors, number of components and overlap.
        points: (M, d) in fit space.
        least_sd: standard deviations are not taken below this [unit of fit space].
    """

    def __init__(self, settings: Bgmm, points: Floats, least_sd: float = 0.0) -> None:
        self.settings = settings
        self.points = torch.as_tensor(points, dtype=torch.float64)
        self.least_sd = least_sd
        k, d = settings.max_components, self.points.shape[1]
        size = torch.ones(k, d, dtype=torch.float64)
        # Built once: constructing distributions would take a third of every step.
        self.priors: dict[str, Any] = {
            "weights": _FlooredDirichlet(size[:, 0] * settings.dirichlet),
            "means": (
                _dist.Uniform(-MEANS_LIMIT * size, MEANS_LIMIT * size)
                if settings.means_prior == "uniform"
                else _dist.Normal(0 * size, MEANS_SD * size)
            ).to_event(2),
            "spread": _dist.HalfNormal(settings.prior_sd * size).to_event(2),
        }
        if d > 1:
            concentration = settings.lkj * size[:, 0]
            self.priors["correlations"] = _dist.LKJCholesky(d, concentration).to_event(1)

    def __call__(self, *, penalised: bool = False) -> None:
        """Sample the parameters and weigh them by the points.

        Args:
            penalised: subtract lambda M O from the log joint, which adds lambda O to the loss
                per sample; for fitting only.
        """
        drawn = {name: pyro.sample(name, prior) for name, prior in self.priors.items()}
        roots = self.roots(drawn)
        log_weights = drawn["weights"].clamp(min=LEAST_WEIGHT).log()
        density = kernel.log_density(self.points, log_weights, drawn["means"], roots)
        pyro.factor("points", density.sum())
        if penalised and self.settings.overlap_weight > 0:
            weighted = self.settings.overlap == "weighted"
            o = kernel.overlap(drawn["weights"], drawn["means"], roots, weighted=weighted)
            pyro.factor("overlap", -self.settings.overlap_weight * len(self.points) * o)

    def roots(self, drawn: dict[str, Tensor]) -> Tensor:
        """(K, d, d) lower Cholesky factors of the covariances."""
        spread = drawn["spread"]
        sd = (spread if self.settings.prior_on == "sd" else spread.sqrt()).clamp(min=self.least_sd)
        if "correlations" in drawn:
            return sd[..., None] * drawn["correlations"]
        return sd[..., None]


def fit_guide(
    settings: Bgmm, points: Floats, *, least_sd: float, seed: int
) -> tuple[Median, ElboEstimate]:
    """Fit a diagonal normal guide to the model.

    Nothing global changes: generators, Pyro's parameters and the number of threads are put back.

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
    with _contained(seed):
        model = BayesianMixture(settings, points, least_sd)
        start = _infer.autoguide.init_to_median
        if settings.init == "kmeans":
            start = _infer.autoguide.init_to_value(values=_values(settings, points, seed))
        guide = _infer.autoguide.AutoDiagonalNormal(
            model, init_loc_fn=start, init_scale=settings.init_scale
        )
        try:
            guide()  # makes its parameters
            steps, converged = _train(settings, model, guide)
            costs = _costs(settings, model, guide)
            median = _median(model, guide)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # torch's stub
            raise NoEvidenceError("a covariance of the mixture has lost its rank") from error
    return median, estimate(costs, steps, converged)


@contextmanager
def _contained(seed: int) -> Iterator[None]:
    """One thread, a generator and parameters of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.random.fork_rng(devices=[]),
            pyro.get_param_store().scope(),
            pyro.validation_enabled(False),
            warnings.catch_warnings(),
        ):
            torch.default_generator.manual_seed(seed)
            # It stops the fit anyway, with a reason.
            warnings.filterwarnings("ignore", message="Encountered NaN")
            yield
    finally:
        torch.set_num_threads(threads)


def _values(settings: Bgmm, points: Floats, seed: int) -> dict[str, Tensor]:
    """Values of all sites at a k-means partition."""
    weights, means, spread = partition(settings, points, seed)
    k, d = means.shape
    values = {
        "weights": weights,
        "means": means,
        "spread": spread,
        "correlations": np.tile(np.eye(d), (k, 1, 1)),
    }
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}


def _train(settings: Bgmm, model: BayesianMixture, guide: Any) -> tuple[int, bool]:
    """Take optimiser steps; returns how many, and whether the stopping rule ended them."""
    optimizer = ClippedAdam(guide.parameters(), lr=settings.learning_rate)
    elbo = _infer.Trace_ELBO()
    losses: list[float] = []
    for step in range(1, settings.steps + 1):
        optimizer.zero_grad()
        loss = elbo.differentiable_loss(model, guide, penalised=True)
        loss.backward()
        losses.append(loss.item() / len(model.points))
        if not math.isfinite(losses[-1]):
            raise NoEvidenceError(f"the evidence bound is not a number in step {step}")
        optimizer.step()
        if settled(losses, settings.stop_gain_nats):
            return step, True
    return settings.steps, False


def _costs(settings: Bgmm, model: BayesianMixture, guide: Any) -> Floats:
    """(draws,) -ELBO / M without the overlap, one per draw from the guide."""
    elbo = _infer.Trace_ELBO()
    with torch.no_grad():
        totals = [elbo.loss(model, guide) for _ in range(settings.elbo_draws)]
    return np.asarray(totals) / len(model.points)


def _median(model: BayesianMixture, guide: Any) -> Median:
    with torch.no_grad():
        drawn = guide.median()
        roots = model.roots(drawn)
        return Median(
            weights=drawn["weights"].numpy(),
            means=drawn["means"].numpy(),
            covariances=(roots @ roots.mT).numpy(),
        )
