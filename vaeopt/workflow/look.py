"""What key points look like: the same for all trials of a study."""

import hashlib

import numpy as np

from vaeopt.core.types import Look, WorkflowRun
from vaeopt.stages.look import look_at
from vaeopt.workflow.cache import StageCache

__all__ = ["LOOK", "look_of"]

LOOK = "look"
"""what a reward asks for"""


def look_of(run: WorkflowRun, cache: StageCache) -> Look:
    """What the key points of a run look like, at the largest window of the study.

    Args:
        run: any one of the study.
        cache: holds the answer, which does not depend on what was trained.
    """
    yx, window = run.keypoints.yx_px, run.comparison.largest_window_px
    points = hashlib.sha256(np.ascontiguousarray(yx).tobytes()).hexdigest()
    return cache.get(
        LOOK,
        (run.micrograph.sha256, points, window),
        lambda: look_at(run.micrograph, run.keypoints, largest_window_px=window),
    )
