"""Do neighbours in the image get the same component (semantics 8.1)."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from vaeopt.core.errors import DataError
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.kernels.agreement import ring_pairs, spatial_kappa
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import has_partitions, partition

__all__ = ["SpatialKappa", "kappa_at"]

_OUTER = 1.75
_LEAST_PAIRS = 200


def kappa_at(
    run: WorkflowRun,
    components: Iterable[int],
    *,
    outer: float = _OUTER,
    least_pairs: int = _LEAST_PAIRS,
) -> float | None:
    """Mean over several K of Cohen's kappa between labels of neighbouring key points.

    Neighbours are ordered pairs with a distance in (w, outer w], where w is the largest window of
    the study: closer ones share pixels.

    Args:
        run: one run.
        components: the K of the fits that label the key points.
        outer: factor of the largest distance.
        least_pairs: fewest pairs.

    Returns:
        At most 1; 0 by chance. None if one of the fits is missing or there are too few pairs.
    """
    window = run.comparison.largest_window_px
    found = []
    for k in components:
        labels = partition(run, k)
        if labels is None:
            return None
        kappa = spatial_kappa(
            labels, run.keypoints.yx_px, window, outer * window, least_pairs=least_pairs
        )
        if kappa is None:
            return None
        found.append(kappa)
    return float(np.mean(found)) if found else None


class SpatialKappa(Reward, kind="spatial-kappa"):
    """Cohen's kappa between the components of neighbouring key points; higher is better.

    1: all neighbours belong together; 0: as many as by chance. K is fixed, because a free K would
    reward a small one. Only for images whose building blocks form patches wider than the largest
    window, such as domains and grains; isolated defects have no neighbours of their own kind.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    components: Annotated[int, Field(ge=2, le=50)] = 5
    """K of the fit whose components are compared; must be in the grid of the mixture"""
    half_width: Annotated[int, Field(ge=0, le=5)] = 0
    """mean over K - half_width .. K + half_width; 0 is K alone"""
    outer: Annotated[float, Field(gt=1, le=10)] = _OUTER
    """neighbours are at most this many largest windows apart, and at least one"""
    least_pairs: PositiveInt = _LEAST_PAIRS
    """a study with fewer ordered pairs of neighbours is refused"""

    @model_validator(mode="after")
    def _more_than_one_component(self) -> Self:
        if self.components - self.half_width < 2:
            raise ValueError(
                f"components - half_width must be at least 2, "
                f"got {self.components} - {self.half_width}"
            )
        return self

    @property
    def label(self) -> str:
        """``spatial_kappa``, with what differs from the defaults."""
        low, high = self.components_needed[0], self.components_needed[-1]
        parts = [] if (low, high) == (5, 5) else [f"K={low}" if low == high else f"K={low}-{high}"]
        parts += [] if self.outer == _OUTER else [f"outer={self.outer:g}"]
        return f"spatial_kappa({','.join(parts)})" if parts else "spatial_kappa"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """All K of the mean."""
        return tuple(
            range(self.components - self.half_width, self.components + self.half_width + 1)
        )

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        """Count the pairs, which depend on key points and largest window only.

        Raises:
            DataError: fewer pairs than asked for.
        """
        window = comparison.largest_window_px
        pairs = ring_pairs(keypoints.yx_px, window, self.outer * window)
        if pairs < self.least_pairs:
            raise DataError(
                f"reward {self.kind!r} compares key points that are {window} to "
                f"{self.outer * window:g} px apart, and {len(keypoints)} key points have only "
                f"{pairs} such ordered pairs; at least {self.least_pairs} are needed",
                setting="workflow.rewards",
                remedy="leave the reward out, raise outer, loosen the detector, lower the largest "
                "patches.size_px or use a larger image",
            )

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at every K."""
        return has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """Kappa, in the mean over the K asked for; 0 if it is not available."""
        kappa = kappa_at(
            run, self.components_needed, outer=self.outer, least_pairs=self.least_pairs
        )
        return self.structureless(run) if kappa is None else kappa

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
