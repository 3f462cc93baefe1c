"""An early end of trainings whose latents have collapsed for good (``docs/latent_filter.md``)."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from vaeopt.core.types import Patches, TrainedVae
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.vae import Watch, posterior
from vaeopt.workflow.scores import raw_space
from vaeopt.workflow.settings import Workflow

__all__ = ["HOPELESS_MARGIN", "check_epochs", "watch_of"]

HOPELESS_MARGIN = 1.0
"""of the latent filter: ten times too small"""
_SHARES = (0.5, 0.6, 0.7, 0.8)  # of the epochs


def check_epochs(epochs: int) -> Sequence[int]:
    """After which epochs the latents are looked at.

    >>> check_epochs(120)
    [60, 72, 84, 96]
    >>> check_epochs(3)  # never behind the last one, where there is nothing left to save
    [2]
    """
    found = sorted({-(-round(100 * share) * epochs // 100) for share in _SHARES})
    return [epoch for epoch in found if epoch < epochs]


def watch_of(workflow: Workflow, patches: Patches) -> Callable[[], Watch] | None:
    """What makes a watch of each training of a run; none where nobody is to look.

    Args:
        workflow: of the run.
        patches: all that it trains on.
    """
    if not workflow.stop_collapsed:
        return None
    return lambda: _CollapseWatch(workflow, patches)


class _CollapseWatch:
    """Ends a training that the latent filter finds hopeless twice in a row, and no better."""

    def __init__(self, workflow: Workflow, patches: Patches) -> None:
        self._workflow, self._patches = workflow, patches
        self._epochs = frozenset(check_epochs(workflow.vae.epochs))
        self._last = -math.inf

    def __call__(self, epochs_done: int, so_far: Callable[[], TrainedVae]) -> bool:
        """See :class:`Watch`."""
        if epochs_done not in self._epochs:
            return False
        before, self._last = self._last, self._margin(so_far())
        # Latents may still wake up: then their margin falls from look to look.
        return before >= HOPELESS_MARGIN and self._last >= before

    def _margin(self, vae: TrainedVae) -> float:
        found = posterior(vae, self._patches)
        if not all(np.isfinite(part).all() for part in found):
            return -math.inf  # it is about to diverge, which is a reason of its own
        diagnostics = unit_diagnostics(*found)
        raw = raw_space(self._workflow)
        return self._workflow.latent_filter(diagnostics, raw_space=raw).margin
