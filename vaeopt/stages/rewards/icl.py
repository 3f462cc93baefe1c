"""Integrated completed likelihood: fit, parsimony and separation in one cost (semantics 5.4)."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from vaeopt.core.errors import Mistake, SettingsError
from vaeopt.core.types import GaussianMixtureFit, WorkflowRun
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.rewards.base import MixtureReward, bic_of, unstructured_cost

__all__ = ["Icl"]

# How often each form counts BIC / (2 M); with no entropy and no penalty that is all it counts.
_OF_ONE_GAUSSIAN = {"j": 1.0, "paper": 2.0, "soft": 2.0, "hard": 2.0, "half": 1.0, "quarter": 0.5}


class Icl(MixtureReward, kind="icl"):
    """J(w) = BIC / (2 M) + w H or another form of ICL [nats per sample]; lower is better.

    K is chosen by the same cost. The other forms are those that are in use, divided by M:
    ``paper`` (BIC + H), ``soft`` (BIC + 2 H), ``hard`` (BIC - 2 sum log max tau), ``half``
    (BIC/2 + H) and ``quarter`` (BIC/4 + H), H in total. ``soft`` and ``half`` rank like J(1),
    ``paper`` like J(1/2), ``quarter`` like J(2). In raw space ICL is partly a score of the latent's
    scale: a collapsed latent wins it, hence the collapse filter.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    compares_across_latent_dim: ClassVar[bool] = False

    form: Literal["j", "paper", "soft", "hard", "half", "quarter"] = "j"
    """J(w), or one of the forms without a free weight"""
    weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    """w of the entropy, for the form ``j`` only; a constant of the study, never sampled"""

    @model_validator(mode="after")
    def _weight_belongs_to_j(self) -> Self:
        if self.form != "j" and "weight" in self.model_fields_set:
            text = f"has no place in form {self.form!r}; leave it out, or use form = 'j'"
            raise SettingsError([Mistake(("weight",), text)])
        return self

    def to_table(self) -> dict[str, Any]:
        """Plain table; without the weight where the form has none."""
        table = super().to_table()
        if self.form != "j":
            del table["weight"]
        return table

    @property
    def label(self) -> str:
        """``icl`` with the weight where it is not 1, or ``icl_`` and the form."""
        if self.form != "j":
            return f"icl_{self.form}"
        return "icl" if self.weight == 1 else f"icl(w={self.weight:g})"

    def criterion(self, fit: GaussianMixtureFit) -> float:
        """The cost of one fit [nats per sample]."""
        bic, entropy = bic_of(fit), fit.entropy_total
        match self.form:
            case "j":
                return kernel.structural_cost(bic, entropy, fit.n_points, self.weight)
            case "paper":
                total = kernel.icl_paper(bic, entropy)
            case "soft":
                total = kernel.icl_soft(bic, entropy)
            case "hard":
                total = kernel.icl_hard(bic, fit.map_log_responsibility_total)
            case "half":
                total = kernel.icl_soft(bic, entropy) / 2
            case "quarter":
                total = kernel.icl_quarter(bic, entropy)
        return total / fit.n_points

    def __call__(self, run: WorkflowRun) -> float:
        """The cost of the chosen fit."""
        return self.criterion(self.choose(run.mixture))

    def structureless(self, run: WorkflowRun) -> float:
        """That of a unit Gaussian in the same form."""
        return _OF_ONE_GAUSSIAN[self.form] * unstructured_cost(run)
