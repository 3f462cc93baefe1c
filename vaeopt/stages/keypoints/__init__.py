"""Where patches are cut: one detector per file."""

from vaeopt.stages.keypoints import canny, given, grid, local_maxima, table
from vaeopt.stages.keypoints.base import KeypointDetector, detect

__all__ = ["KeypointDetector", "canny", "detect", "given", "grid", "local_maxima", "table"]
