"""Bayesian Gaussian mixture, fitted by stochastic variational inference (semantics 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Bools, ElboEstimate, Floats, Ints, Mixture
from vaeopt.kernels.device import DEVICE_PATTERN, resolve_device
from vaeopt.stages.mixture.base import (
    FitRequest,
    FitSpace,
    MixtureModel,
    describe,
    expect_bounded,
    failed,
    fit_space,
    measured,
)

__all__ = ["MEANS_LIMIT", "Bgmm", "NoEvidenceError"]

MEANS_LIMIT = 5.0
"""means of components lie in (-5, 5) per axis under the uniform prior"""

_Guide = tuple[Any, ElboEstimate]
"""the mixture at the median of a guide, and its evidence"""

# In units of the points' own standard deviation: the floor that reg_covar = 1e-6 of the kind gmm
# sets.
_SMALLEST_SD = 1e-3


class NoEvidenceError(Exception):
    """The Bayesian mixture cannot be fitted to these latents; says why."""


class Bgmm(MixtureModel, kind="bgmm"):
    """One fit with many components, of which the prior empties those that are not needed.

    weights ~ Dirichlet(c, ..., c); means ~ U(-5, 5) or N(0, 5); standard deviations ~
    HalfNormal; correlations ~ LKJ; points ~ the mixture. The guide is a normal distribution with
    diagonal covariance in unconstrained space. Figures of the fit are those at its median.
    """

    estimates_elbo: ClassVar[bool] = True

    max_components: Annotated[int, Field(ge=2, le=100)] = 20
    """K of the model; most components end up empty"""
    concentration: Literal["alpha-over-k", "fixed"] = "alpha-over-k"
    """c of the Dirichlet prior: ``alpha`` / K, or ``fixed_concentration``"""
    alpha: PositiveFloat = 0.1
    """read where ``concentration`` is alpha-over-k; a smaller one asks for fewer components"""
    fixed_concentration: PositiveFloat = 0.01
    """c itself, read where ``concentration`` is fixed"""
    means_prior: Literal["uniform", "normal0"] = "uniform"
    """U(-5, 5) per axis of fit space, or N(0, 5) with standard deviation 5"""
    prior_sd: PositiveFloat = 0.2
    """scale of the HalfNormal prior of the spread of components [unit of fit space]"""
    prior_on: Literal["sd", "variance"] = "sd"
    """whether that prior is on standard deviations or on variances"""
    lkj: PositiveFloat = 20.0
    """concentration of the LKJ prior of correlations; larger means rounder components"""
    space: Literal["standard", "raw", "whiten"] = "standard"
    """raw (the paper) makes the fit depend on the latent scale"""
    init: Literal["kmeans", "median"] = "kmeans"
    """where the guide starts: at a k-means partition, or at medians of the prior (the paper)"""
    init_scale: PositiveFloat = 0.1
    """standard deviation of the guide at the start, in unconstrained space"""
    steps: PositiveInt = 3000
    """most optimiser steps"""
    learning_rate: PositiveFloat = 2e-2
    """of ClippedAdam"""
    stop_gain_nats: NonNegativeFloat = 1e-3
    """stops when the mean loss of the last 200 steps is better by less than this than that of the
    200 before [nats per sample]; 0 takes all steps"""
    overlap_weight: NonNegativeFloat = 0.1
    """lambda of the overlap in the loss that is fitted; never part of a reported value"""
    overlap: Literal["weighted", "sum"] = "weighted"
    """whether a pair of components counts by the product of its weights"""
    elbo_draws: Annotated[int, Field(ge=2, le=10_000)] = 64
    """draws from the guide that the reported evidence bound is a mean of"""
    engine: Literal["direct", "pyro"] = "direct"
    """direct has the gradient written by hand; pyro is the reference that it is tested against"""
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    """of the direct engine: auto (a GPU where there is one and the fits are many), cpu, or
    cuda:N"""

    @property
    def raw_space(self) -> bool:
        """Whether the scale of the latents enters the scores."""
        return self.space == "raw"

    @property
    def dirichlet(self) -> float:
        """The concentration c of the weights' prior."""
        if self.concentration == "fixed":
            return self.fixed_concentration
        return self.alpha / self.max_components

    def fit(self, z: Floats, *, kept: Bools, fit_index: Ints, seeds: Seeds) -> Mixture:
        """Fit the guide, then responsibilities of all patches at its median."""
        request = FitRequest(z=z, kept=kept, fit_index=fit_index, seeds=seeds)
        (mixture,) = self._fit_all([request])
        return mixture

    def fit_many(self, requests: Sequence[FitRequest]) -> list[Mixture]:
        """Fit a guide for each, all at once on a GPU, one after the other on the CPU."""
        if type(self).fit is not Bgmm.fit:  # a subclass has its own way
            return super().fit_many(requests)
        return self._fit_all(requests)

    def _fit_all(self, requests: Sequence[FitRequest]) -> list[Mixture]:
        requests = [replace(one, z=np.asarray(one.z, dtype=np.float64)) for one in requests]
        tasks = [self._task(request) for request in requests]
        guides = iter(self._guides([task for task in tasks if isinstance(task, _Task)]))
        return [
            self._described(request, task, next(guides))
            if isinstance(task, _Task)
            else self._failed(request, task)
            for request, task in zip(requests, tasks, strict=True)
        ]

    def _task(self, request: FitRequest) -> "_Task | Exception":
        """What is to be fitted, or why nothing can be."""
        try:
            space = fit_space(request.z[request.fit_index], self.space)
            points = np.asarray(space(request.z[request.fit_index]), dtype=np.float64)
            self._expect_proper(points)
        except (np.linalg.LinAlgError, NoEvidenceError) as error:
            return error
        least_sd = _SMALLEST_SD * float(np.sqrt(points.var(axis=0).mean()))
        seed = request.seeds.integer("bayesian")
        return _Task(space=space, points=points, least_sd=least_sd, seed=seed)

    def _guides(self, tasks: Sequence["_Task"]) -> list["_Guide | NoEvidenceError"]:
        """What was found for every task, or why nothing was; one shape makes one batch."""
        found: dict[int, _Guide | NoEvidenceError] = {}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for i, task in enumerate(tasks):
            shapes.setdefault(task.points.shape, []).append(i)
        for (m, _), numbers in shapes.items():
            mine = [tasks[i] for i in numbers]
            device = resolve_device(
                "cpu" if self.engine == "pyro" else self.device,
                setting="workflow.bayesian.device",
                numbers=len(mine) * m * self.max_components,
            )
            if device.type == "cpu":
                found |= {i: self._one(tasks[i]) for i in numbers}
                continue
            from vaeopt.stages.mixture.direct import fit_together

            points, least_sd = [t.points for t in mine], [t.least_sd for t in mine]
            seeds = [t.seed for t in mine]
            fits = fit_together(self, points, least_sd=least_sd, seeds=seeds, device=device)
            found |= dict(zip(numbers, fits, strict=True))
        return [found[i] for i in range(len(tasks))]

    def _one(self, task: "_Task") -> "_Guide | NoEvidenceError":
        try:
            guide: _Guide = self._engine(self, task.points, least_sd=task.least_sd, seed=task.seed)
        except NoEvidenceError as error:
            return error
        return guide

    def _described(
        self, request: FitRequest, task: "_Task", guide: "_Guide | NoEvidenceError"
    ) -> Mixture:
        if isinstance(guide, NoEvidenceError):
            return self._failed(request, guide)
        median, elbo = guide
        try:
            fit = measured(task.points, median.weights, median.means, median.covariances)
            return describe(
                request.z,
                kept=request.kept,
                fit_index=request.fit_index,
                space=task.space,
                fits=(fit,),
                chosen=0,
                elbo=elbo,
            )
        except np.linalg.LinAlgError as error:
            return self._failed(request, error)

    def _failed(self, request: FitRequest, error: Exception) -> Mixture:
        return failed(
            str(error),
            kept=request.kept,
            fit_index=request.fit_index,
            latent_dim=request.z.shape[1],
            space=self.space,
        )

    @property
    def _engine(self) -> Any:
        if self.engine == "pyro":
            # Pyro takes a second to import, and most uses of the package never need it.
            from vaeopt.stages.mixture.variational import fit_guide

            return fit_guide
        from vaeopt.stages.mixture.direct import fit_directly

        return fit_directly

    def _expect_proper(self, points: Floats) -> None:
        """Refuse points whose likelihood has no bound, or that the prior cannot reach.

        Raises:
            NoEvidenceError: says why.
            numpy.linalg.LinAlgError: the points do not span the space, or many are the same.
        """
        distinct = expect_bounded(points)
        if distinct < self.max_components:
            raise NoEvidenceError(
                f"{distinct} distinct points are fewer than the {self.max_components} "
                "components of the model"
            )
        farthest = float(np.abs(points).max())
        if self.means_prior == "uniform" and farthest > MEANS_LIMIT:
            raise NoEvidenceError(
                f"a fitted point lies at {farthest:.1f}, outside the prior of the means "
                f"(-{MEANS_LIMIT:g}, {MEANS_LIMIT:g}) in {self.space} space"
            )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What is fitted."""

    space: FitSpace
    points: NDArray[np.float64]
    """(M, d) in fit space"""
    least_sd: float
    """floor of standard deviations [unit of fit space]"""
    seed: int
