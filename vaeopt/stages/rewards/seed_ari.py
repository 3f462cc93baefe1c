"""Do trainings from other seeds find the same partition (semantics 8.3)."""

from itertools import combinations
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from vaeopt.core.types import Ints, WorkflowRun
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import agreement, partition

__all__ = ["SeedAri"]


class SeedAri(Reward, kind="seed-ari"):
    """Mean ARI over all pairs of trainings of the same settings; higher repeats better.

    A diagnostic of noise rather than an objective: a model that encodes nothing but orientation
    repeats itself very well.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    least_replicates: ClassVar[int] = 3

    components: Annotated[int, Field(ge=2, le=50)] = 5
    """K of the fits whose components are compared; must be in the grid of the mixture"""

    @property
    def label(self) -> str:
        """``seed_ari``, with K where it is not 5."""
        return "seed_ari" if self.components == 5 else f"seed_ari(K={self.components})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """K."""
        return (self.components,)

    def available(self, run: WorkflowRun) -> bool:
        """Whether there is more than one training; one without a mixture agrees with none."""
        return len(run.members) > 1

    def __call__(self, run: WorkflowRun) -> float:
        """Mean ARI over the pairs."""
        labels = [partition(member, self.components) for member in run.members]
        return float(np.mean([_ari(a, b) for a, b in combinations(labels, 2)]))

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0


def _ari(a: Ints | None, b: Ints | None) -> float:
    return 0.0 if a is None or b is None else agreement(a, b).ari
