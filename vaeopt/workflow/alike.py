"""Key points that look alike: the same ones for all trials of a study."""

import hashlib
from dataclasses import dataclass

import numpy as np

from vaeopt.core.types import Ints, WorkflowRun
from vaeopt.kernels.descriptor import describe, most_alike
from vaeopt.workflow.cache import StageCache

__all__ = ["ALIKE", "alike_of"]

ALIKE = "alike"
"""what a reward asks for"""
_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class _Alike:
    index: Ints


def alike_of(run: WorkflowRun, cache: StageCache) -> Ints:
    """The most similar key points of each, by windows as large as the largest of the study.

    Windows that share pixels do not count: only key points further apart than that window.

    Args:
        run: any one of the study.
        cache: holds the answer, which does not depend on what was trained.

    Returns:
        (n, 10) indices, -1 where there are fewer.
    """
    yx, window = run.keypoints.yx_px, run.comparison.largest_window_px
    points = hashlib.sha256(np.ascontiguousarray(yx).tobytes()).hexdigest()
    found = cache.get(
        ALIKE,
        (run.micrograph.sha256, points, window),
        lambda: _Alike(
            most_alike(
                describe(run.micrograph.pixels, yx, max(window, 3)),
                yx,
                _NEIGHBOURS,
                apart_px=window,
            )
        ),
    )
    return found.index
