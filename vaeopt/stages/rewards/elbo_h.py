"""Evidence of a Bayesian mixture with the entropy of its assignment (semantics 6.5)."""

from typing import Annotated

from pydantic import Field

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.elbo import Elbo

__all__ = ["ElboH"]


class ElboH(Elbo, kind="elbo-h"):
    """-ELBO / M + w H [nats per sample]; lower is better.

    H is the entropy of the assignment per sample at the median of the guide, in the same unit as
    in J(w): components that share points cost.
    """

    weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    """w of the entropy; a constant of the study, never sampled"""

    @property
    def label(self) -> str:
        """``elbo_h``, with the weight where it is not 1."""
        return "elbo_h" if self.weight == 1 else f"elbo_h(w={self.weight:g})"

    def __call__(self, run: WorkflowRun) -> float:
        """-ELBO / M + w H."""
        bound, fit = self.evidence(run)
        return bound.cost_nats + self.weight * fit.entropy_total / fit.n_points
