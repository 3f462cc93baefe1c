"""Do key points that look alike get the same component (semantics 8.4)."""

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from vaeopt.core.errors import DataError
from vaeopt.core.settings import Tuple
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.kernels.agreement import alike_kappa
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import has_partitions, partition

__all__ = ["DescriptorKappa"]

_LEAST_POINTS = 50


class DescriptorKappa(Reward, kind="descriptor-kappa"):
    """Cohen's kappa between the components of key points that look alike; higher is better.

    What looks alike is decided without any training, by a classical descriptor of the largest
    window of the study that does not change when the window is turned. The VAE is a second,
    independent witness: building blocks that both see are likely to be there. Neighbours in the
    image are not asked, so it also holds where building blocks are mixed at random. It is wrong
    where orientation itself is the building block.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    components: Annotated[tuple[int, int], Tuple] = (3, 6)
    """mean over these K, first and last; they must be in the grid of the mixture"""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        low, high = self.components
        if not 2 <= low <= high <= 50:
            raise ValueError(
                f"components must be two rising numbers from 2 to 50, got {low}, {high}"
            )
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Which key points look alike."""
        return frozenset({"alike"})

    @property
    def label(self) -> str:
        """``descriptor_kappa``, with K where it is not 3 to 6."""
        low, high = self.components
        if (low, high) == (3, 6):
            return "descriptor_kappa"
        return f"descriptor_kappa(K={low})" if low == high else f"descriptor_kappa(K={low}-{high})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """All K of the mean."""
        return tuple(range(self.components[0], self.components[1] + 1))

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        """Count the key points.

        Raises:
            DataError: fewer than 50.
        """
        if len(keypoints) < _LEAST_POINTS:
            raise DataError(
                f"reward {self.kind!r} compares key points that look alike, and there are only "
                f"{len(keypoints)}; at least {_LEAST_POINTS} are needed",
                setting="workflow.rewards",
                remedy="leave the reward out, loosen the detector or use a larger image",
            )

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at every K, and others that look alike."""
        seen = run.alike is not None and bool((run.alike >= 0).any())
        return seen and has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """Kappa, in the mean over the K asked for."""
        assert run.alike is not None  # it was asked for: see needs
        found = []
        for k in self.components_needed:
            labels = partition(run, k)
            kappa = None if labels is None else alike_kappa(labels, run.alike)
            if kappa is None:
                return self.structureless(run)
            found.append(kappa)
        return float(np.mean(found))

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
