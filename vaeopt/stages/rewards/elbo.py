"""Evidence of a Bayesian mixture: fit and parsimony without a grid of K (semantics 6.5)."""

from typing import ClassVar, Literal

from vaeopt.core.types import ElboEstimate, GaussianMixtureFit, WorkflowRun
from vaeopt.stages.rewards.base import Reward, unstructured_cost

__all__ = ["Elbo"]


class Elbo(Reward, kind="elbo"):
    """-ELBO / M [nats per sample]; lower is better.

    The evidence lower bound of the Bayesian mixture, a mean over draws from the guide, without the
    overlap that is penalised while fitting. It depends on M, which a study keeps constant
    (semantics 6.6).
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    compares_across_latent_dim: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """The Bayesian mixture."""
        return frozenset({"bayesian"})

    @property
    def label(self) -> str:
        """``elbo``."""
        return "elbo"

    def available(self, run: WorkflowRun) -> bool:
        """Whether the Bayesian mixture could be fitted; a run without one is a mistake."""
        return run.bayesian is None or run.bayesian.chosen is not None

    def evidence(self, run: WorkflowRun) -> tuple[ElboEstimate, GaussianMixtureFit]:
        """The bound, and the mixture at the median of the guide.

        Raises:
            ValueError: nobody has fitted a Bayesian mixture for this run.
        """
        found = run.bayesian
        if found is None or found.best is None or found.elbo is None:
            raise ValueError(f"reward {self.kind!r} reads run.bayesian, which has no evidence")
        return found.elbo, found.best

    def __call__(self, run: WorkflowRun) -> float:
        """-ELBO / M."""
        return self.evidence(run)[0].cost_nats

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian without any prior."""
        return unstructured_cost(run)
