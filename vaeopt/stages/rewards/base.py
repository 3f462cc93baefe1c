"""What every reward is."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from vaeopt.core.errors import VaeoptError
from vaeopt.core.settings import Plugin
from vaeopt.core.types import GaussianMixtureFit, Mixture, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel

__all__ = ["SEMANTICS", "MixtureReward", "Reward", "bic_of", "unstructured_cost"]

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

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name of the value, unique among the rewards of a study."""

    @abstractmethod
    def __call__(self, run: WorkflowRun) -> float:
        """The value of a run that can be scored [nats per sample where it is a likelihood]."""

    @abstractmethod
    def structureless(self, run: WorkflowRun) -> float:
        """What a run without any structure would get; stands in where nothing can be computed."""

    def value(self, run: WorkflowRun) -> float:
        """The finite number that is returned to Optuna.

        A collapsed run keeps its true value where it has one, because that is what teaches a
        sampler most; its constraint keeps it out of the race.

        Raises:
            VaeoptError: the reward is not a number although the run is healthy.
        """
        value = self.structureless(run) if run.mixture.chosen is None else self(run)
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


def unstructured_cost(run: WorkflowRun) -> float:
    """J of a unit Gaussian with as many dimensions as the latents: d/2 log(2 pi e)."""
    return run.latents.latent_dim / 2 * math.log(2 * math.pi * math.e)


def bic_of(fit: GaussianMixtureFit) -> float:
    """BIC of a fit, total over its points [nats]."""
    return kernel.bic(fit.log_likelihood_total, fit.n_free, fit.n_points)
