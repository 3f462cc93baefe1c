"""Does a patch keep its component when it is turned (semantics 8.2)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.kernels.agreement import draw_angles, has_room
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import check_inside, has_partitions, recut_ami

__all__ = ["RotationAmi"]


class RotationAmi(Reward, kind="rotation-ami"):
    """AMI of the components before and after each window is turned; higher is better.

    Every key point is cut again at one angle of its own, the same in all trials, and both patches
    are labelled by the same fit. Meaningful only where orientation is a nuisance: it punishes a
    model that tells orientations apart, which may be what is sought.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    components: Annotated[int, Field(ge=2, le=50)] = 5
    """K of the fit whose components are compared; must be in the grid of the mixture"""

    @property
    def needs(self) -> frozenset[str]:
        """The second, turned patches."""
        return frozenset({"rotation"})

    @property
    def label(self) -> str:
        """``rotation_ami``, with K where it is not 5."""
        return "rotation_ami" if self.components == 5 else f"rotation_ami(K={self.components})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """K."""
        return (self.components,)

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        """Count the key points with room for the turned window.

        Raises:
            DataError: fewer than 50.
        """
        height, width = micrograph.pixels.shape
        inside = has_room(
            keypoints.yx_px,
            comparison.largest_window_px,
            (height, width),
            angle_rad=draw_angles(len(keypoints), comparison.seed),
        )
        check_inside(self.kind, inside)

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at every K."""
        return has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """AMI of the two partitions; 0 if there is none."""
        ami = recut_ami(run, "rotation", self.components)
        return self.structureless(run) if ami is None else ami

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
