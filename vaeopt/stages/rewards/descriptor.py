"""What rewards share that ask a classical descriptor of the windows (semantics 8.5)."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from vaeopt.core.errors import DataError
from vaeopt.core.settings import Tuple
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.stages.rewards.base import Reward

__all__ = ["DescriptorReward"]

_LEAST_POINTS = 50
_DEFAULT = (3, 6)


class DescriptorReward(Reward):
    """Agreement of the components with what windows look like to a descriptor.

    The descriptor is computed without any training, on the largest window of the study, and hardly
    changes when a window is turned or shifted. It is a second, independent witness: building blocks
    that both see are likely to be there. Neighbours in the image are not asked, so it also holds
    where building blocks are mixed at random. It is wrong where orientation itself is the building
    block.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    name: ClassVar[str]
    """label at the default K"""

    components: Annotated[tuple[int, int], Tuple] = _DEFAULT
    """mean over these K, first and last; they must be in the grid of the mixture"""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        low, high = self.components
        if not 2 <= low <= high <= 8:
            raise ValueError(
                f"components must be two rising numbers from 2 to 8, got {low}, {high}"
            )
        return self

    @property
    def needs(self) -> frozenset[str]:
        """What the windows look like."""
        return frozenset({"look"})

    @property
    def label(self) -> str:
        """The name, with K where it is not 3 to 6."""
        low, high = self.components
        if self.components == _DEFAULT:
            return self.name
        return f"{self.name}(K={low})" if low == high else f"{self.name}(K={low}-{high})"

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
                f"reward {self.kind!r} compares what key points look like, and there are only "
                f"{len(keypoints)}; at least {_LEAST_POINTS} are needed",
                setting="workflow.rewards",
                remedy="leave the reward out, loosen the detector or use a larger image",
            )

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
