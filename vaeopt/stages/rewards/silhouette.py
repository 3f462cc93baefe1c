"""Are points nearer to their own component than to the next (Rousseeuw 1987)."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from threadpoolctl import threadpool_limits

from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import fit_space, partition

__all__ = ["Silhouette"]


class Silhouette(Reward, kind="silhouette"):
    """Mean silhouette of the fitted points in fit space, -1 to 1; higher is better.

    s = (b - a) / max(a, b): a is the mean distance of a point to its own component, b that to the
    nearest other one.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"
    compares_across_latent_dim: ClassVar[bool] = False

    components: Annotated[int, Field(ge=2, le=50)] | Literal["chosen"] = 5
    """K of the partition, which must be in the grid of the mixture; or the K that was chosen"""

    @property
    def label(self) -> str:
        """``silhouette``, with K where it is not 5."""
        return "silhouette" if self.components == 5 else f"silhouette(K={self.components})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """K, if it is fixed."""
        return () if self.components == "chosen" else (self.components,)

    def __call__(self, run: WorkflowRun) -> float:
        """The mean silhouette; 0 if there are fewer than two components with points."""
        from sklearn.metrics import silhouette_score

        best, rows = run.mixture.best, run.mixture.fit_index
        assert best is not None  # available() has looked
        k = best.n_components if self.components == "chosen" else self.components
        labels = partition(run, k, run.latents.z[rows])
        if labels is None or len(np.unique(labels)) < 2:
            return self.structureless(run)
        with threadpool_limits(1):
            return float(silhouette_score(fit_space(run.mixture, run.latents.z[rows]), labels))

    def structureless(self, run: WorkflowRun) -> float:
        """As near to one's own component as to another."""
        return 0.0
