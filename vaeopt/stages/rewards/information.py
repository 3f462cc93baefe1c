"""How much the latents say about a patch, from their signal-to-noise ratio (semantics 2.3)."""

from typing import ClassVar, Literal

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["Information"]


class Information(Reward, kind="information"):
    """log(1 + SNR_j) / 2 over the content latents [nats]; higher says more.

    The capacity of a Gaussian channel with the variance of the posterior means as its signal and
    the mean posterior variance as its noise (Shannon 1948).
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    form: Literal["total", "per_unit", "least"] = "total"
    """sum over units, mean over units, or the unit that says least"""

    @property
    def label(self) -> str:
        """``information``, with the form where it is not ``total``."""
        return "information" if self.form == "total" else f"information_{self.form}"

    def available(self, run: WorkflowRun) -> bool:
        """Always: it needs no mixture."""
        return True

    def __call__(self, run: WorkflowRun) -> float:
        """The form of this run [nats], from 0."""
        nats = run.diagnostics.information_nats
        return {
            "total": float(nats.sum()),
            "per_unit": float(nats.mean()),
            "least": float(nats.min()),
        }[self.form]

    def structureless(self, run: WorkflowRun) -> float:
        """Nothing said."""
        return 0.0
