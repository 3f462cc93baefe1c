"""Runs with given fits or latents, for rewards worked by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vaeopt.core.types import Collapse, GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards import Reward
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

QUICK = Workflow(mixture=Gmm(components=(1, 3), n_init=1))
BASE = example_run(np.random.default_rng(0).standard_normal((60, 2)), QUICK)

# Test vectors T1 and T2: five points under two components.
POINTS = np.array([(0, 0), (1, 0.5), (2, 1), (-1, 0.2), (3, 2)])
WEIGHTS = np.array([0.6, 0.4])
MEANS = np.array([(0.0, 0.0), (2.0, 1.0)])
COVARIANCES = np.array([[[1, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 0.8]]])


def reward(kind: str, **settings: Any) -> Reward:
    return Reward.from_table({"kind": kind, **settings})


def fit_of(
    points: ArrayLike, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike
) -> GaussianMixtureFit:
    """The primitives of given components for given points."""
    joint = kernel.log_joint(points, weights, means, covariances)
    tau = kernel.responsibilities(joint)
    k, d = np.shape(means)
    return GaussianMixtureFit(
        n_components=k,
        n_points=len(joint),
        latent_dim=d,
        n_free=kernel.n_free_parameters(k, d),
        log_likelihood_total=float(kernel.log_likelihood(joint).sum()),
        entropy_total=kernel.entropy(tau) if k > 1 else 0.0,
        map_log_responsibility_total=float(np.log(tau.max(axis=1)).sum()),
        weights=np.asarray(weights),
        means=np.asarray(means),
        covariances=np.asarray(covariances),
    )


def one_gaussian(points: ArrayLike) -> GaussianMixtureFit:
    """Maximum likelihood with K = 1."""
    z = np.asarray(points, dtype=float)
    return fit_of(z, [1.0], z.mean(0)[None], np.cov(z, rowvar=False, ddof=0)[None])


def with_fits(
    *fits: GaussianMixtureFit, chosen: int | None = 0, selection_weight: float | None = None
) -> WorkflowRun:
    """A run whose mixture has these fits; infeasible where none is chosen."""
    mixture = replace(
        BASE.mixture,
        fits=fits,
        chosen=chosen,
        selection_weight=selection_weight,
        failure="" if chosen is not None else "none",
    )
    healthy = chosen is not None
    collapse = Collapse(margin=-1.0 if healthy else 6.0, reasons=() if healthy else ("gone",))
    return replace(BASE, mixture=mixture, collapse=collapse)


def with_latents(z: ArrayLike, std: ArrayLike) -> WorkflowRun:
    """A run with these posteriors of the content latents and no pose; the mixture is not theirs."""
    means, stds = np.asarray(z, dtype=float), np.asarray(std, dtype=float)
    stds = np.broadcast_to(stds, means.shape)
    none = np.zeros((len(means), 0))
    latents = replace(BASE.latents, z_mean=means, z_std=stds, code_mean=none, code_std=none)
    return replace(BASE, latents=latents, diagnostics=unit_diagnostics(means, stds, none, none))


def with_reconstruction(**values: float) -> WorkflowRun:
    """A run with these errors of reconstruction."""
    found = replace(BASE.latents.reconstruction, **values)  # type: ignore[arg-type]  # all floats
    return replace(BASE, latents=replace(BASE.latents, reconstruction=found))
