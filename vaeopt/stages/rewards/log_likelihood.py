"""Log-likelihood of the mixture per sample, without any penalty (semantics 5.3)."""

from typing import ClassVar, Literal

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.stages.rewards.base import MixtureReward, unstructured_cost

__all__ = ["LogLikelihood"]


class LogLikelihood(MixtureReward, kind="log-likelihood"):
    """L / M [nats per sample], K chosen by it; higher is better.

    There to compare with the literature. Every further component raises it, so it takes the
    largest K of the grid, or nearly so where EM stops in a poor optimum.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    compares_across_latent_dim: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """``log_likelihood``."""
        return "log_likelihood"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """-L / M."""
        return -fit.log_likelihood_total / fit.n_points

    def __call__(self, run: WorkflowRun) -> float:
        """L / M of the chosen fit."""
        return -self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian."""
        return -unstructured_cost(run)
