"""Does a patch keep its component when its window is shifted (semantics 8.2)."""

from typing import ClassVar

from vaeopt.core.types import Bools, Comparison, KeyPoints
from vaeopt.kernels.agreement import draw_shifts, has_room
from vaeopt.stages.rewards.recut import RecutReward

__all__ = ["JitterAmi"]


class JitterAmi(RecutReward, kind="jitter-ami"):
    """AMI of the components before and after a shift of up to 1 px; higher is better.

    Every key point is cut again with a shift of its own, uniform in -1 to 1 px along rows and
    columns and the same in all trials, and both patches are labelled by the same fit. It follows
    how much is encoded and how large the window is, not whether types are told apart.
    """

    pose: ClassVar[str] = "jitter"

    def inside(self, keypoints: KeyPoints, shape: tuple[int, int], comparison: Comparison) -> Bools:
        """(n,) whether an image of this shape has room for the shifted window."""
        return has_room(
            keypoints.yx_px,
            comparison.largest_window_px,
            shape,
            shift_px=draw_shifts(len(keypoints), comparison.seed),
        )
