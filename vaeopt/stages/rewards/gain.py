"""Structure gain: how much better K clusters are than one Gaussian (semantics 5.6)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.base import MixtureReward, bic_of

__all__ = ["Gain"]


class Gain(MixtureReward, kind="gain"):
    """G(w) = J_1(w) - min_K J_K(w) >= 0 [nats per sample]; higher is better.

    Below 0 only where ``mixture.selection_weight`` imposes a K that costs more than one Gaussian.
    Unchanged under any invertible affine map of the latents, so scale cannot buy it. It measures
    departure from one Gaussian: thin rings and filaments score high too.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    needs_null_model: ClassVar[bool] = True

    weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    """w of the entropy; a constant of the study, never sampled"""

    @property
    def label(self) -> str:
        """``gain``, with the weight where it is not 1."""
        return "gain" if self.weight == 1 else f"gain(w={self.weight:g})"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """J(w)."""
        return kernel.structural_cost(bic_of(fit), fit.entropy_total, fit.n_points, self.weight)

    def __call__(self, run: WorkflowRun) -> float:
        """G(w); 0 if one Gaussian is best. The grid must contain K = 1."""
        single = run.mixture.fits[0]
        return self.criterion(single) - self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """No gain."""
        return 0.0
