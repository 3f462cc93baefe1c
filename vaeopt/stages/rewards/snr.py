"""Signal-to-noise ratio of the content latents in decades (semantics 2.3)."""

from typing import ClassVar, Literal

import numpy as np

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["Snr"]

_DECADES = 6.0  # a dead unit has SNR 0, and a logarithm that no sampler may see


class Snr(Reward, kind="snr"):
    """log10(V_j / A_j) of the content latents, clipped to [-6, 6]; higher is clearer."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    form: Literal["least", "mean"] = "least"
    """the worst unit, or the mean of the logarithms over units"""

    @property
    def label(self) -> str:
        """``log10_snr_`` and the form."""
        return f"log10_snr_{self.form}"

    def available(self, run: WorkflowRun) -> bool:
        """Always: it needs no mixture."""
        return True

    def __call__(self, run: WorkflowRun) -> float:
        """The form of this run [decades], in [-6, 6]."""
        bounded = np.clip(run.diagnostics.snr, 10**-_DECADES, 10**_DECADES)
        decades = np.log10(bounded)
        return float(decades.min() if self.form == "least" else decades.mean())

    def structureless(self, run: WorkflowRun) -> float:
        """No signal at all."""
        return -_DECADES
