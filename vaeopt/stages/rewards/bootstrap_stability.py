"""Does the partition survive a new draw of the fitted points (Fang and Wang 2012)."""

import warnings
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from threadpoolctl import threadpool_limits

from vaeopt.core.seeds import derive
from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.stages.rewards.base import Reward
from vaeopt.stages.rewards.partition import agreement, fit_space, has_partitions, partition

__all__ = ["BootstrapStability"]


class BootstrapStability(Reward, kind="bootstrap-stability"):
    """Mean ARI with partitions by mixtures fitted to resampled points; higher is better.

    The fitted points are drawn with replacement, as many as there are; one Gaussian mixture with K
    components is fitted to each draw and labels the points that the run has fitted. Draws and
    starts depend on the study only.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    components: Annotated[int, Field(ge=2, le=50)] = 5
    """K of the partition; must be in the grid of the mixture"""
    resamples: Annotated[int, Field(ge=2, le=1000)] = 10
    """B, draws of the fitted points"""

    @property
    def label(self) -> str:
        """``bootstrap_stability``, with K where it is not 5."""
        k = self.components
        return "bootstrap_stability" if k == 5 else f"bootstrap_stability(K={k})"

    @property
    def components_needed(self) -> tuple[int, ...]:
        """K."""
        return (self.components,)

    def available(self, run: WorkflowRun) -> bool:
        """Whether the key points have a partition at this K."""
        return has_partitions(run, self.components_needed)

    def __call__(self, run: WorkflowRun) -> float:
        """Mean ARI over the draws; 0 if there is no partition."""
        rows = run.mixture.fit_index
        ours = partition(run, self.components, run.latents.z[rows])
        if ours is None:
            return self.structureless(run)
        points = fit_space(run.mixture, run.latents.z[rows])
        return float(
            np.mean(
                [self._ari(ours, points, run.comparison.seed, b) for b in range(self.resamples)]
            )
        )

    def _ari(self, ours: Ints, points: Floats, study_seed: int, member: int) -> float:
        """Agreement with one draw; 0 where it cannot be fitted."""
        from sklearn.mixture import GaussianMixture

        rng = np.random.default_rng(derive(study_seed, "bootstrap-stability", member))
        drawn = points[rng.integers(len(points), size=len(points))]
        model = GaussianMixture(
            n_components=self.components,
            max_iter=500,
            tol=1e-5,
            reg_covar=1e-6 * float(points.var(axis=0).mean()),
            random_state=int(rng.integers(2**32)),
        )
        try:
            # A fit that stops early is a partition all the same.
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = model.fit(drawn).predict(points)
        except ValueError:  # a covariance that cannot be factorised
            return 0.0
        return agreement(ours, theirs).ari

    def structureless(self, run: WorkflowRun) -> float:
        """No agreement beyond chance."""
        return 0.0
