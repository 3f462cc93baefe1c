"""How many content latents vary at all (Burda 2016; semantics 2.3)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["ActiveUnits"]


class ActiveUnits(Reward, kind="active-units"):
    """Number of content latents with V_j > 0.01; higher uses more of the latent space."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    @property
    def label(self) -> str:
        """``active_units``."""
        return "active_units"

    def available(self, run: WorkflowRun) -> bool:
        """Always: it needs no mixture."""
        return True

    def __call__(self, run: WorkflowRun) -> float:
        """The number, from 0 to the number of content latents."""
        return float(run.diagnostics.active.sum())

    def structureless(self, run: WorkflowRun) -> float:
        """None."""
        return 0.0
