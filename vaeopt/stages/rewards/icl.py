"""Integrated completed likelihood: fit, parsimony and separation in one cost (semantics 5.4)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.base import MixtureReward, bic_of, unstructured_cost

__all__ = ["Icl"]


class Icl(MixtureReward, kind="icl"):
    """J(w) = BIC / (2 M) + w H [nats per sample], K chosen by the same cost; lower is better.

    weight 1/2 is the paper's BIC + H (up to the factor 2 M), weight 1 the ICL of the clustering
    literature in its soft form, weight 2 the paper's BIC/4 + H. In raw space it is partly a score
    of the latent's scale: a collapsed latent wins it, hence the collapse filter.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    compares_across_latent_dim: ClassVar[bool] = False

    weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    """w of the entropy; a constant of the study, never sampled"""

    @property
    def label(self) -> str:
        """``icl``, with the weight where it is not 1."""
        return "icl" if self.weight == 1 else f"icl(w={self.weight:g})"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """J(w)."""
        return kernel.structural_cost(bic_of(fit), fit.entropy_total, fit.n_points, self.weight)

    def __call__(self, run: WorkflowRun) -> float:
        """J(w) of the chosen fit."""
        return self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian."""
        return unstructured_cost(run)
