"""How uncertain points are about their component (semantics 5.3)."""

import math
from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import PartitionReward

__all__ = ["Entropy"]


class Entropy(PartitionReward, kind="entropy"):
    """Entropy of the assignment under the fit with the least J(1); lower is more separate.

    A latent without any structure has one component, hence 0, and is best: use it beside a gain.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    guard_needed: ClassVar[bool] = True

    form: Literal["per_sample", "normalised"] = "per_sample"
    """H [nats per sample], or H / log K in [0, 1], 0 for K = 1"""

    @property
    def label(self) -> str:
        """``entropy``, with the form and the mixture where they are not the defaults."""
        name = "entropy" if self.form == "per_sample" else f"entropy_{self.form}"
        return name if self.of == "mixture" else f"{self.of}_{name}"

    def __call__(self, run: WorkflowRun) -> float:
        """H of the chosen fit, from 0 to log K; or that as a share of log K."""
        fit = self.fit_of(run)
        if fit.n_components == 1:
            return 0.0
        entropy = fit.entropy_total / fit.n_points
        return entropy if self.form == "per_sample" else entropy / math.log(fit.n_components)

    def structureless(self, run: WorkflowRun) -> float:
        """Every point torn between as many components as there are points: the worst there is."""
        return math.log(run.comparison.n_fit) if self.form == "per_sample" else 1.0
