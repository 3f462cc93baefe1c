"""What rewards share that cut every key point a second time (semantics 8.2)."""

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vaeopt.core.types import Bools, Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import check_inside, has_partitions, recut_ami

__all__ = ["RecutReward"]


class RecutReward(Reward):
    """AMI of the components of the patches and of the same key points at another pose."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    pose: ClassVar[str]
    """name of the second patches in ``run.recuts``"""

    components: Annotated[int, Field(ge=2, le=50)] = 5
    """K of the fit whose components are compared; must be in the grid of the mixture"""

    @abstractmethod
    def inside(self, keypoints: KeyPoints, shape: tuple[int, int], comparison: Comparison) -> Bools:
        """(n,) whether an image of this shape has room for the second window."""

    @property
    def needs(self) -> frozenset[str]:
        """The second patches."""
        return frozenset({self.pose})

    @property
    def label(self) -> str:
        """``rotation_ami`` or ``jitter_ami``, with K where it is not 5."""
        name = f"{self.pose}_ami"
        return name if self.components == 5 else f"{name}(K={self.components})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """K."""
        return (self.components,)

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        """Count the key points with room for the second window.

        Raises:
            DataError: fewer than 50.
        """
        height, width = micrograph.pixels.shape
        check_inside(self.kind, self.inside(keypoints, (height, width), comparison))

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at this K."""
        return has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """AMI of the two partitions; 0 if there is none."""
        ami = recut_ami(run, self.pose, self.components)
        return self.structureless(run) if ami is None else ami

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
