"""Gaussian mixture with full covariances (semantics 5)."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from threadpoolctl import threadpool_limits

from vaeopt.core.seeds import Seeds
from vaeopt.core.settings import Tuple
from vaeopt.core.types import Bools, Floats, GaussianMixtureFit, Ints, Mixture
from vaeopt.kernels.device import DEVICE_PATTERN, resolve_device
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.em import EmFit, fit_grid
from vaeopt.kernels.mixture.stacked.em import fit_grids
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

__all__ = ["Gmm"]

# Least variance of a component in any direction, in units of the mean variance of the points: its
# likelihood is then set by reg_covar, not by the data.
_LEAST_EXTENT = 1e-5


class Gmm(MixtureModel, kind="gmm"):
    """One fit per K; K is chosen by the cost that is returned."""

    components: Annotated[tuple[int, int], Tuple] = (1, 10)
    """first and last number of components K; K = 1 is the null model of the structure gain"""
    space: Literal["whiten", "standard", "raw"] = "whiten"
    """raw (the paper) makes scores depend on the latent scale; whiten does not"""
    n_init: PositiveInt = 10
    """starts per K; the best is kept"""
    max_iter: PositiveInt = 500
    """EM steps per start"""
    tol: PositiveFloat = 1e-5
    """EM stops below this gain [nats per sample]; 1e-3 stops up to .33 nat short"""
    reg_covar: NonNegativeFloat = 1e-6
    """added to covariance diagonals [variance of fit space]"""
    engine: Literal["batched", "scikit-learn"] = "batched"
    """batched fits all K and starts at once, ten times as fast and with a wider search; the two
    may find different optima"""
    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    """of the batched engine: auto (a GPU where there is one and the fits are many), cpu, or
    cuda:N"""
    selection_weight: Annotated[float, Field(ge=0, le=10)] | None = None
    """w_sel: if given, K is chosen by J(w_sel) for every reward; else each uses its own cost"""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        low, high = self.components
        if not 1 <= low <= high:
            raise ValueError(f"components must be two rising numbers from 1, got [{low}, {high}]")
        return self

    @property
    def raw_space(self) -> bool:
        """Whether the scale of the latents enters the scores."""
        return self.space == "raw"

    def fit(self, z: Floats, *, kept: Bools, fit_index: Ints, seeds: Seeds) -> Mixture:
        """One fit per K, then responsibilities of all patches under the chosen K."""
        request = FitRequest(z=z, kept=kept, fit_index=fit_index, seeds=seeds)
        (mixture,) = self._fit_all([request])
        return mixture

    def fit_many(self, requests: Sequence[FitRequest]) -> list[Mixture]:
        """One fit per K for each, all at once on a GPU, one after the other on the CPU."""
        if type(self).fit is not Gmm.fit:  # a subclass has its own way
            return super().fit_many(requests)
        return self._fit_all(requests)

    def _fit_all(self, requests: Sequence[FitRequest]) -> list[Mixture]:
        tasks = [self._task(request) for request in requests]
        fits = self._fits([task for task in tasks if isinstance(task, _Task)])
        return [
            self._chosen(task, next(fits)) if isinstance(task, _Task) else task for task in tasks
        ]

    def _task(self, request: FitRequest) -> "_Task | Mixture":
        """What is to be fitted, or why nothing can be."""
        request = replace(request, z=np.asarray(request.z, dtype=np.float64))
        points = request.z[request.fit_index]
        try:
            space = fit_space(points, self.space)
            scaled = np.asarray(space(points), dtype=np.float64)
            expect_bounded(scaled)
        except np.linalg.LinAlgError as error:
            return self._failed(str(error), request)
        reg = self.reg_covar * (float(points.var(axis=0).mean()) if self.raw_space else 1.0)
        low, high = self.components
        grid = range(low, min(high, len(points)) + 1)
        return _Task(request=request, space=space, points=scaled, grid=grid, reg=reg)

    def _fits(self, tasks: Sequence["_Task"]) -> Iterator[tuple[GaussianMixtureFit, ...]]:
        """The fits of every task, in their order."""
        if self.engine == "batched":
            found = self._together(tasks)
            for i, task in enumerate(tasks):
                yield tuple(
                    self._judge(task, k, fit) for k, fit in zip(task.grid, found[i], strict=True)
                )
            return
        for task in tasks:
            seeds = task.request.seeds
            yield tuple(
                self._fit_one(task.points, k, task.reg, seeds.integer("mixture", member=k))
                for k in task.grid
            )

    def _chosen(self, task: "_Task", fits: tuple[GaussianMixtureFit, ...]) -> Mixture:
        """The mixture whose K has the least cost."""
        allowed = [i for i, fit in enumerate(fits) if not fit.rejected]
        if not allowed:
            reason = fits[0].rejected if fits else "no K in the grid has enough points"
            return self._failed(reason, task.request, fits)
        weight = 1.0 if self.selection_weight is None else self.selection_weight
        return describe(
            task.request.z,
            kept=task.request.kept,
            fit_index=task.request.fit_index,
            space=task.space,
            fits=fits,
            chosen=min(allowed, key=lambda i: _cost(fits[i], weight)),
            selection_weight=self.selection_weight,
        )

    def _together(self, tasks: Sequence["_Task"]) -> dict[int, tuple[EmFit, ...]]:
        """By number of the task; tasks of one shape make one batch on a GPU."""
        found: dict[int, tuple[EmFit, ...]] = {}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for i, task in enumerate(tasks):
            if task.grid:
                shapes.setdefault(task.points.shape, []).append(i)
            else:
                found[i] = ()
        recipe: dict[str, Any] = {
            "starts": self.n_init,
            "max_iter": self.max_iter,
            "tol": self.tol,
        }
        for (m, _), numbers in shapes.items():
            mine = [tasks[i] for i in numbers]
            grid, regs = mine[0].grid, [task.reg for task in mine]
            seeds = [task.request.seeds.integer("mixture") for task in mine]
            device = resolve_device(
                self.device,
                setting="workflow.mixture.device",
                numbers=len(mine) * m * sum(grid),
            )
            if device.type == "cpu":
                for i, task, seed in zip(numbers, mine, seeds, strict=True):
                    found[i] = fit_grid(task.points, grid, reg_covar=task.reg, seed=seed, **recipe)
                continue
            points = np.stack([task.points for task in mine])
            fits = fit_grids(points, grid, reg_covar=regs, seeds=seeds, device=device, **recipe)
            found |= dict(zip(numbers, fits, strict=True))
        return found

    def _judge(self, task: "_Task", k: int, fit: EmFit) -> GaussianMixtureFit:
        if fit.proper:
            return self._judged(task.points, fit.weights, fit.means, fit.covariances, fit.converged)
        m, d = task.points.shape
        return _no_fit(k, m, d, f"K = {k}: every start has a singular covariance")

    def _fit_one(self, points: Floats, k: int, reg: float, seed: int) -> GaussianMixtureFit:
        from sklearn.mixture import GaussianMixture

        m, d = points.shape
        model = GaussianMixture(
            n_components=k,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            reg_covar=reg,
            random_state=seed,
        )
        try:
            # The arrays are too small to share: more threads are slower, and far slower when
            # another study runs on the same cores. Warnings say what the fit records anyway.
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(points)
        except ValueError as error:  # a covariance that cannot be factorised
            return _no_fit(k, m, d, f"K = {k}: {str(error).splitlines()[0]}")
        return self._judged(
            points, model.weights_, model.means_, model.covariances_, model.converged_
        )

    def _judged(
        self, points: Floats, weights: Floats, means: Floats, covariances: Floats, converged: bool
    ) -> GaussianMixtureFit:
        """The fit, and whether it may be chosen (semantics 5.2)."""
        (m, d), k = points.shape, len(weights)
        least = m * float(weights.min())
        n_free = kernel.n_free_parameters(k, d)
        extent = float(np.linalg.eigvalsh(covariances).min())
        rejected = ""
        if not converged:
            rejected = f"K = {k}: not converged after {self.max_iter} steps"
        elif n_free >= m:
            rejected = f"K = {k}: {n_free} free parameters for {m} points"
        elif least < d + 1:
            rejected = f"K = {k}: a component holds {least:.1f} < {d + 1} points"
        elif extent < _LEAST_EXTENT * float(points.var(axis=0).mean()):
            rejected = f"K = {k}: a component has shrunk to no extent"
        return measured(points, weights, means, covariances, rejected)

    def _failed(
        self, reason: str, request: FitRequest, fits: tuple[GaussianMixtureFit, ...] = ()
    ) -> Mixture:
        return failed(
            reason,
            kept=request.kept,
            fit_index=request.fit_index,
            latent_dim=request.z.shape[1],
            space=self.space,
            fits=fits,
            selection_weight=self.selection_weight,
        )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What is fitted."""

    request: FitRequest
    space: FitSpace
    points: NDArray[np.float64]
    """(M, d) in fit space"""
    grid: range
    """of K"""
    reg: float
    """added to covariance diagonals [unit of fit space, squared]"""


def _cost(fit: GaussianMixtureFit, weight: float) -> float:
    bic = kernel.bic(fit.log_likelihood_total, fit.n_free, fit.n_points)
    return kernel.structural_cost(bic, fit.entropy_total, fit.n_points, weight)


def _no_fit(k: int, m: int, d: int, reason: str) -> GaussianMixtureFit:
    return GaussianMixtureFit(
        n_components=k,
        n_points=m,
        latent_dim=d,
        n_free=kernel.n_free_parameters(k, d),
        log_likelihood_total=float("-inf"),
        entropy_total=0.0,
        map_log_responsibility_total=0.0,
        weights=np.zeros(k),
        means=np.zeros((k, d)),
        covariances=np.zeros((k, d, d)),
        rejected=reason,
    )
