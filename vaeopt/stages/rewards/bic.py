"""Bayesian information criterion per sample (Schwarz 1978)."""

from typing import ClassVar, Literal

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.stages.rewards.base import MixtureReward, bic_of, unstructured_cost

__all__ = ["Bic"]


class Bic(MixtureReward, kind="bic"):
    """BIC / M [nats per sample], K chosen by it; lower is better."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    compares_across_latent_dim: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """``bic``."""
        return "bic"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """BIC / M."""
        return bic_of(fit) / fit.n_points

    def __call__(self, run: WorkflowRun) -> float:
        """BIC / M of the chosen fit."""
        return self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian: -2 log-likelihood."""
        return 2 * unstructured_cost(run)
