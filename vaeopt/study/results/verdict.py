"""Does a study say that there are building blocks at all: from what its trials have stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from vaeopt.stages.rewards.descriptor_ami import STRUCTURE, DescriptorAmi
from vaeopt.study.fronts.pareto import feasible, finished, representatives
from vaeopt.study.results.stored import stored_scores

__all__ = ["Verdict", "verdict_lines", "verdict_of"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The best agreement with an untrained descriptor, held against its threshold."""

    reward: str
    """label of the reward"""
    best: float | None
    """its best value; None if no healthy trial has one"""
    trial: int | None
    """the trial that has it"""
    trials: int
    """healthy trials with a value, one per configuration"""
    collapsed: int
    """finished trials without one"""
    threshold: float = STRUCTURE

    @property
    def structure(self) -> bool:
        """Whether there are building blocks."""
        return self.best is not None and self.best >= self.threshold

    @property
    def sentence(self) -> str:
        """The verdict in one line, without a full stop."""
        if self.best is None:
            only = "the only finished trial has" if self.collapsed == 1 else None
            who = only or f"all {self.collapsed} finished trials have"
            return f"no structure: {who} collapsed or cannot be scored by {self.reward}"
        of = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        text = f"the best {self.reward} of {of} is {self.best:.3f}"
        if self.structure:
            return f"structure: {text} (trial {self.trial}), not below {self.threshold:g}"
        return (
            f"no structure: {text}, below {self.threshold:g}; the components are cuts through a "
            "continuum, or the descriptor does not see what is there (fine detail, small windows)"
        )

    def to_table(self) -> dict[str, Any]:
        """As plain values, the answer and its sentence beside them."""
        return {**vars(self), "structure": self.structure, "sentence": self.sentence}


def verdict_of(study: optuna.Study) -> Verdict | None:
    """What the stored values say.

    Args:
        study: with or without finished trials.

    Returns:
        None where nothing is finished, and where the reward ``descriptor-ami`` at its default
        numbers of components is neither an objective nor a score, nor was computed afterwards: its
        threshold holds for these.
    """
    label, done = DescriptorAmi().label, finished(study)
    score = stored_scores(study).get(label) if done else None
    if score is None:
        return None
    values: Mapping[int, float] = {
        trial.number: score.values[trial.number]
        for trial in feasible(study)
        if math.isfinite(score.values.get(trial.number, math.nan))
    }
    trial = max(values, key=values.__getitem__, default=None)
    return Verdict(
        reward=label,
        best=None if trial is None else values[trial],
        trial=trial,
        trials=len(values),
        collapsed=len(representatives(study)) - len(values),
    )


def verdict_lines(study: optuna.Study) -> list[str]:
    """The sentence for the terminal; no line where there is no verdict."""
    found = verdict_of(study)
    return [] if found is None else [found.sentence]
