"""Akaike information criterion per sample (Akaike 1974)."""

from typing import ClassVar, Literal

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.base import MixtureReward, unstructured_cost

__all__ = ["Aic"]


class Aic(MixtureReward, kind="aic"):
    """AIC / M [nats per sample], K chosen by it; lower is better."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    compares_across_latent_dim: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """``aic``."""
        return "aic"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """AIC / M."""
        return kernel.aic(fit.log_likelihood_total, fit.n_free) / fit.n_points

    def __call__(self, run: WorkflowRun) -> float:
        """AIC / M of the chosen fit."""
        return self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian: -2 log-likelihood."""
        return 2 * unstructured_cost(run)
