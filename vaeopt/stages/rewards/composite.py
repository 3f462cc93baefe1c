"""Several rewards in one number, with weights that are constants of the study (semantics 9.4)."""

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from vaeopt.core.errors import Mistake, SettingsError, VaeoptError
from vaeopt.core.settings import Settings, Tuple
from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards.base import Reward, trainings_compared

__all__ = ["Composite", "Term"]

_LEAST_REFERENCE = 2  # fewer values give no rank
# What tables of trials call their own columns: a value of that name would take their place.
_COLUMNS = (
    *("trial", "state", "feasible", "front", "loss", "components", "seconds", "reason"),
    *("win_share", "distance", "n", "collapsed"),
)


class Term(Settings):
    """One reward of a composite, and how it enters."""

    reward: Reward
    """any reward, one of your own or another composite included"""
    weight: NonNegativeFloat = 1.0
    """how much it counts"""
    centre: float = 0.0
    """value that counts as 0, in the unit of the reward; for sums only"""
    scale: PositiveFloat = 1.0
    """difference that counts as 1, in the unit of the reward; for sums only"""
    reference: Annotated[tuple[float, ...], Tuple] = ()
    """values of the reward in an earlier study, at least 2; for ranks only"""

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is."""
        return 1 if self.reward.direction == "maximize" else -1

    def scaled(self, value: float) -> float:
        """Distance to the centre in units of the scale; higher is better."""
        return self.sign * (value - self.centre) / self.scale

    def ranked(self, value: float) -> float:
        """Share of the reference that the value beats, a tie counting one half; in [0, 1]."""
        gap = self.sign * (value - np.asarray(self.reference))
        return float(np.mean((np.sign(gap) + 1) / 2))


class Composite(Reward, kind="composite"):
    """A weighted sum of rewards, or of their ranks in an earlier study; higher is better.

    Terms are turned so that higher is better. Weights, centres, scales and references are
    constants of the study: a weight that is sampled is driven to its bound, and a rank among the
    trials so far would change its meaning with every trial.
    """

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")] = "composite"
    """label of the value"""
    combine: Literal["sum", "rank"] = "sum"
    """sum of w (value - centre) / scale, or mean of ranks among the references"""
    terms: Annotated[tuple[Term, ...], Tuple, Field(min_length=1)]
    """the rewards"""

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        mistakes = [Mistake(("terms", *m.path), m.message) for m in self._without_effect()]
        if self.name in _COLUMNS:
            text = f"{self.name!r} is a column of every table of trials; choose another name"
            mistakes.insert(0, Mistake(("name",), text))
        if not any(term.weight for term in self.terms):
            mistakes.append(Mistake(("terms",), "all weights are 0; raise one of them"))
        if mistakes:
            raise SettingsError(mistakes)
        return self

    def _without_effect(self) -> Iterable[Mistake]:
        other = "sum" if self.combine == "rank" else "rank"
        given = {"rank": ("centre", "scale"), "sum": ("reference",)}[self.combine]
        for i, term in enumerate(self.terms):
            for name in given:
                if getattr(term, name) != Term.model_fields[name].default:
                    text = f"has no effect here; leave it out, or use combine = {other!r}"
                    yield Mistake((i, name), text)

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def parts(self) -> tuple[Reward, ...]:
        """The rewards of the terms."""
        return tuple(term.reward for term in self.terms)

    @property
    def mistake(self) -> str:
        """What is missing before it can be computed: references of ranks, also of inner ones."""
        for i, term in enumerate(self.terms):
            if term.reward.mistake:
                return f"terms.{i}.reward.{term.reward.mistake}"
            if self.combine == "rank" and len(term.reference) < _LEAST_REFERENCE:
                return (
                    f"terms.{i}.reference: {self.name!r} needs {_LEAST_REFERENCE} or more values "
                    f"of {term.reward.label!r}, got {len(term.reference)}; copy them from an "
                    "earlier study, or use combine = 'sum'"
                )
        return ""

    def calibrated(self, values: Sequence[Sequence[float]]) -> Self:
        """The same composite with references filled; a sum comes back as it is.

        Args:
            values: one list per term, in their order: values of that reward in the trials of a
                study, as they were stored (not turned), at least 2 each.

        Raises:
            SettingsError: another number of lists than of terms, or a value that is no number.
        """
        if len(values) != len(self.terms):
            text = f"{len(self.terms)} terms, but values of {len(values)}; give one list per term"
            raise SettingsError([Mistake(("terms",), text)])
        if self.combine == "sum":
            return self
        table = self.to_table()
        for term, found in zip(table["terms"], values, strict=True):
            term["reference"] = [float(value) for value in found]
        return type(self).from_table(table)

    def available(self, run: WorkflowRun) -> bool:
        """Always: every term stands in for itself where it has nothing to compute from."""
        return True

    def __call__(self, run: WorkflowRun) -> float:
        """The sum, or the mean rank in [0, 1].

        Raises:
            VaeoptError: a rank without references.
        """
        if self.mistake:
            raise VaeoptError(self.mistake)
        return self._combined(self._value_of(part, run) for part in self.parts)

    def structureless(self, run: WorkflowRun) -> float:
        """The same of terms without structure."""
        return self._combined(part.structureless(run) for part in self.parts)

    def _value_of(self, part: Reward, run: WorkflowRun) -> float:
        """Value of one term; a mean over trainings beside a term that compares them."""
        if trainings_compared(self) > 1 and trainings_compared(part) == 1:
            return float(np.mean([part.value(member) for member in run.members]))
        return part.value(run)

    def _combined(self, values: Iterable[float]) -> float:
        terms = list(zip(self.terms, values, strict=True))
        if self.combine == "sum":
            return sum(term.weight * term.scaled(value) for term, value in terms)
        total = sum(term.weight for term in self.terms)
        return sum(term.weight * term.ranked(value) for term, value in terms) / total
