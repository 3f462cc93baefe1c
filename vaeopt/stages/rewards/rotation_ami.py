"""Does a patch keep its component when it is turned (semantics 8.2)."""

from typing import ClassVar

from vaeopt.core.types import Bools, Comparison, KeyPoints
from vaeopt.kernels.agreement import draw_angles, has_room
from vaeopt.stages.rewards.recut import RecutReward

__all__ = ["RotationAmi"]


class RotationAmi(RecutReward, kind="rotation-ami"):
    """AMI of the components before and after each window is turned; higher is better.

    Every key point is cut again at one angle of its own, the same in all trials, and both patches
    are labelled by the same fit. Meaningful only where orientation is a nuisance: it punishes a
    model that tells orientations apart, which may be what is sought.
    """

    pose: ClassVar[str] = "rotation"

    def inside(self, keypoints: KeyPoints, shape: tuple[int, int], comparison: Comparison) -> Bools:
        """(n,) whether an image of this shape has room for the turned window."""
        return has_room(
            keypoints.yx_px,
            comparison.largest_window_px,
            shape,
            angle_rad=draw_angles(len(keypoints), comparison.seed),
        )
