"""How well patches come back from their latents (semantics 7)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["Reconstruction"]


class Reconstruction(Reward, kind="reconstruction"):
    """Reconstruction error at the posterior mean, with pose; lower is better.

    Only ``fvu_core`` compares across windows: it looks at the central pixels that all of them
    share. The others grow with the window.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"

    metric: Literal["fvu_core", "fvu", "mse", "nll", "excess_nll"] = "fvu_core"
    """unexplained variance (core or whole window), mean square, or NLL per pixel [nats]"""

    @property
    def label(self) -> str:
        """The metric."""
        return self.metric

    def __call__(self, run: WorkflowRun) -> float:
        """The metric of this run."""
        found = run.latents.reconstruction
        return {
            "fvu_core": found.fvu_core,
            "fvu": found.fvu,
            "mse": found.mse,
            "nll": found.nll_nats,
            "excess_nll": found.excess_nll_nats,
        }[self.metric]

    def structureless(self, run: WorkflowRun) -> float:
        """The metric itself: it needs no mixture."""
        return self(run)
