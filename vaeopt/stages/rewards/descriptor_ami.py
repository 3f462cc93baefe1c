"""Do components agree with those that a classical descriptor finds (semantics 8.5)."""

from typing import ClassVar

import numpy as np

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.descriptor import DescriptorReward
from vaeopt.stages.rewards.partition import agreement, has_partitions, partition

__all__ = ["STRUCTURE", "DescriptorAmi"]

STRUCTURE = 0.28
"""below this the two witnesses do not tell of the same parts (docs/rewards/validity.md)"""


class DescriptorAmi(DescriptorReward, kind="descriptor-ami"):
    """AMI of the components and of those of an untrained descriptor; higher is better.

    Adjusted mutual information (Vinh, Epps and Bailey, JMLR 11, 2837, 2010) of two partitions of
    the key points: by the mixture of the latents, and by a mixture of what the windows look like,
    with as many components. 1 if they are the same, near 0 if they are unrelated. In a continuum
    without building blocks the two cut at different places: below 0.28 there is nothing that both
    of them tell apart.
    """

    name: ClassVar[str] = "descriptor_ami"

    def available(self, run: WorkflowRun) -> bool:
        """Whether both have a partition at every K."""
        seen = run.look is not None and all(k in run.look.labels for k in self.components_needed)
        return seen and has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """AMI, in the mean over the K asked for."""
        assert run.look is not None  # it was asked for: see needs
        found = []
        for k in self.components_needed:
            labels = partition(run, k)
            if labels is None:
                return self.structureless(run)
            found.append(agreement(labels, run.look.labels[k]).ami)
        return float(np.mean(found))
