"""Spread of the latents (paper, equation 2; semantics 3.1)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["VarianceProduct"]


class VarianceProduct(Reward, kind="variance-product"):
    """Variance of the posterior means, combined over units; higher is further from collapse."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    compares_across_latent_dim: ClassVar[bool] = False

    form: Literal["product", "geomean", "total", "generalised"] = "product"
    """prod V_j (the paper), its d-th root, sum V_j, or det Cov(z_mean)"""

    @property
    def label(self) -> str:
        """``variance_`` and the form."""
        return f"variance_{self.form}"

    def __call__(self, run: WorkflowRun) -> float:
        """The chosen form."""
        found = run.diagnostics
        return {
            "product": found.variance_product,
            "geomean": found.variance_geomean,
            "total": found.variance_total,
            "generalised": found.generalised_variance,
        }[self.form]

    def structureless(self, run: WorkflowRun) -> float:
        """The variance itself: it needs no mixture."""
        return self(run)
