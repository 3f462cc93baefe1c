"""How many components describe the latents (semantics 5.7)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.base import PartitionReward

__all__ = ["Components"]


class Components(PartitionReward, kind="components"):
    """Number of components of the fit with the least J(1); fewer is simpler.

    A latent without any structure needs one component only and is best: use it beside a gain.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    guard_needed: ClassVar[bool] = True

    form: Literal["chosen", "effective", "perplexity"] = "chosen"
    """K, the number heavier than a fifth of the heaviest, or exp(-sum w log w)"""

    @property
    def label(self) -> str:
        """``components``, with the form and the mixture where they are not the defaults."""
        name = "components" if self.form == "chosen" else f"components_{self.form}"
        return name if self.of == "mixture" else f"{self.of}_{name}"

    def __call__(self, run: WorkflowRun) -> float:
        """The number, from 1 to the largest K of the grid."""
        fit = self.fit_of(run)
        if self.form == "chosen":
            return float(fit.n_components)
        if self.form == "effective":
            return float(kernel.effective_components(fit.weights))
        return kernel.perplexity(fit.weights)

    def structureless(self, run: WorkflowRun) -> float:
        """One component per fitted point, the worst there is: one alone would be the best."""
        return float(run.comparison.n_fit)
