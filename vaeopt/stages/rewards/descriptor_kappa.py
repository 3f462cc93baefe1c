"""Do key points that look alike get the same component (semantics 8.5)."""

from typing import ClassVar

import numpy as np

from vaeopt.core.types import WorkflowRun
from vaeopt.kernels.agreement import alike_kappa
from vaeopt.stages.rewards.descriptor import DescriptorReward
from vaeopt.stages.rewards.partition import has_partitions, partition

__all__ = ["DescriptorKappa"]


class DescriptorKappa(DescriptorReward, kind="descriptor-kappa"):
    """Cohen's kappa between the components of key points that look alike; higher is better.

    A smooth continuum scores high too, because what is close in it looks alike: it says less than
    ``descriptor-ami`` where there may be no building blocks at all.
    """

    name: ClassVar[str] = "descriptor_kappa"

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at every K, and others that look alike."""
        seen = run.look is not None and bool((run.look.alike >= 0).any())
        return seen and has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """Kappa, in the mean over the K asked for."""
        assert run.look is not None  # it was asked for: see needs
        found = []
        for k in self.components_needed:
            labels = partition(run, k)
            kappa = None if labels is None else alike_kappa(labels, run.look.alike)
            if kappa is None:
                return self.structureless(run)
            found.append(kappa)
        return float(np.mean(found))
