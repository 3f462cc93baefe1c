"""What every reward is."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np

from vaeopt.core.errors import Mistake, SettingsError, VaeoptError
from vaeopt.core.settings import Plugin
from vaeopt.core.types import (
    Comparison,
    GaussianMixtureFit,
    KeyPoints,
    Micrograph,
    Mixture,
    WorkflowRun,
)
from vaeopt.kernels.mixture import reference as kernel

__all__ = [
    "SEMANTICS",
    "MixtureReward",
    "PartitionReward",
    "Reward",
    "bic_of",
    "trainings_compared",
    "unstructured_cost",
    "with_parts",
]

SEMANTICS = 1
"""version of what the rewards mean (docs/semantics.md); values of different versions never mix"""

_LIMIT = 1e3  # values are clipped here: a sampler must never see infinity


class Reward(Plugin, family="reward"):
    """One number from a run.

    A member gives ``direction``, ``label`` and two methods. ``label`` names the value in tables,
    the dashboard and the database.
    """

    direction: ClassVar[Literal["minimize", "maximize"]]
    compares_across_latent_dim: ClassVar[bool] = True
    """whether values of runs with different latent dimension may be compared"""
    needs_null_model: ClassVar[bool] = False
    """whether K = 1 must be in the grid of the mixture"""
    least_replicates: ClassVar[int] = 1
    """trainings that one value is made of; above 1 the reward looks at ``run.members`` itself"""
    guard_needed: ClassVar[bool] = False
    """whether a latent without any structure is best, so that it steers only beside a gain"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        given = cls.__dict__.get("direction", "minimize")
        if given not in ("minimize", "maximize"):
            text = f"expected 'minimize' or 'maximize', got {given!r}"
            raise SettingsError([Mistake((cls.__name__, "direction"), text)])
        super().__init_subclass__(**kwargs)

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name of the value, unique among the rewards of a study."""

    @property
    def needs(self) -> frozenset[str]:
        """What a run must carry beside the usual; computed only where a reward asks for it.

        ``bayesian`` stands for ``run.bayesian``, ``rotation`` and ``jitter`` for ``run.recuts``,
        ``look`` for ``run.look``.
        """
        return frozenset()

    @property
    def parts(self) -> "tuple[Reward, ...]":
        """Rewards that this one is made of; what they need, it needs (``with_parts``)."""
        return ()

    @property
    def components_needed(self) -> tuple[int, ...]:
        """Numbers of components K that must be in the grid of the mixture."""
        return (1,) if self.needs_null_model else ()

    @property
    def mistake(self) -> str:
        """What is missing before this reward can steer a study; empty if nothing is."""
        return ""

    def check(self, micrograph: Micrograph, keypoints: KeyPoints, comparison: Comparison) -> None:
        """Refuse a study in which this reward can never be computed, before anything is trained.

        Raises:
            DataError: says why, with the remedy.
        """

    @abstractmethod
    def __call__(self, run: WorkflowRun) -> float:
        """The value of a run that can be scored [nats per sample where it is a likelihood]."""

    @abstractmethod
    def structureless(self, run: WorkflowRun) -> float:
        """What a run without any structure would get; stands in where nothing can be computed."""

    def available(self, run: WorkflowRun) -> bool:
        """Whether there is something to compute from; if not, :meth:`structureless` stands in."""
        return run.mixture.chosen is not None

    def value(self, run: WorkflowRun) -> float:
        """The finite number that is returned to Optuna.

        A collapsed run keeps its true value where it has one, because that is what teaches a
        sampler most; its constraint keeps it out of the race.

        Raises:
            VaeoptError: the reward is not a number although the run is healthy.
        """
        value = self(run) if self.available(run) else self.structureless(run)
        if not math.isfinite(value):
            if run.collapse.feasible:
                raise VaeoptError(
                    f"reward {self.kind!r} is {value} for a healthy run",
                    setting="workflow.rewards",
                    remedy="report it with the trial's record; the trial is marked as failed",
                )
            value = self.structureless(run)
            if not math.isfinite(value):  # not even that can be computed: the worst there is
                value = _LIMIT if self.direction == "minimize" else -_LIMIT
        return float(np.clip(value, -_LIMIT, _LIMIT))


class MixtureReward(Reward):
    """A reward that is a criterion of one mixture fit."""

    @abstractmethod
    def criterion(self, fit: GaussianMixtureFit) -> float:
        """Cost of one fit [nats per sample], lower is better; decides K and is returned."""

    def choose(self, mixture: Mixture) -> GaussianMixtureFit:
        """The fit whose cost is least (semantics 5.5), unless the study samples w_sel."""
        if mixture.selection_weight is not None and mixture.best is not None:
            return mixture.best
        return min((fit for fit in mixture.fits if not fit.rejected), key=self.criterion)


class PartitionReward(MixtureReward):
    """A reward of the partition that one of the two mixtures of a run makes."""

    of: Literal["mixture", "bayesian"] = "mixture"
    """the mixture whose K has the least J(1), or the Bayesian one at the median of its guide"""

    @property
    def needs(self) -> frozenset[str]:
        """The Bayesian mixture, if it is the one that is asked for."""
        return frozenset({"bayesian"}) if self.of == "bayesian" else frozenset()

    def available(self, run: WorkflowRun) -> bool:
        """Whether that mixture could be fitted."""
        found = run.mixture if self.of == "mixture" else run.bayesian
        return found is not None and found.chosen is not None

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """J(1), which decides K."""
        return kernel.structural_cost(bic_of(fit), fit.entropy_total, fit.n_points, 1.0)

    def fit_of(self, run: WorkflowRun) -> GaussianMixtureFit:
        """The fit that is looked at."""
        return self.choose(run.bayesian if self.of == "bayesian" and run.bayesian else run.mixture)


def with_parts(reward: Reward) -> list[Reward]:
    """A reward and all that it is made of."""
    return [reward, *(inner for part in reward.parts for inner in with_parts(part))]


def trainings_compared(reward: Reward) -> int:
    """Trainings that one value of a reward is made of, its parts included."""
    return max(part.least_replicates for part in with_parts(reward))


def unstructured_cost(run: WorkflowRun) -> float:
    """J of a unit Gaussian with as many dimensions as the latents: d/2 log(2 pi e)."""
    return run.latents.latent_dim / 2 * math.log(2 * math.pi * math.e)


def bic_of(fit: GaussianMixtureFit) -> float:
    """BIC of a fit, total over its points [nats]."""
    return kernel.bic(fit.log_likelihood_total, fit.n_free, fit.n_points)
