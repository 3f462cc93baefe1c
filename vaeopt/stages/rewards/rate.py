"""Information rate: how many nats the latents spend on a patch (semantics 7.3)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["Rate"]


class Rate(Reward, kind="rate"):
    """sum_j KL_j over content and pose latents [nats per patch]; lower is simpler."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"

    @property
    def label(self) -> str:
        """``rate``."""
        return "rate"

    def __call__(self, run: WorkflowRun) -> float:
        """The rate of this run."""
        return run.diagnostics.rate_nats

    def structureless(self, run: WorkflowRun) -> float:
        """The rate itself: it needs no mixture."""
        return self(run)
