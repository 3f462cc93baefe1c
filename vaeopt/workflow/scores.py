"""Values of rewards over everything that a run was repeated with: trainings and subsets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.base import MixtureReward, trainings_compared, with_parts
from vaeopt.workflow.settings import Workflow

__all__ = [
    "Score",
    "known_score",
    "needs_of",
    "optimised",
    "raw_space",
    "rewards_of",
    "score_of",
    "scores_of",
]


@dataclass(frozen=True)
class Score:
    """Value of one reward for one run."""

    value: float
    """mean over replicates and subsets"""
    sd: float
    """standard deviation over them (ddof = 1); 0 for a single value"""
    n: int
    """values that the mean is made of"""


def score_of(reward: Reward, run: WorkflowRun) -> Score:
    """The value of a reward: mean over trainings, and over subsets where it is one of a mixture.

    A reward that compares trainings looks at all of them itself and has one value.
    """
    if trainings_compared(reward) > 1:
        return Score(reward.value(run), 0.0, 1)
    by_member = [_over_subsets(reward, member) for member in run.members]
    values = np.concatenate(by_member)
    # Equal weight for every training, whatever its number of subsets.
    mean = float(np.mean([member.mean() for member in by_member]))
    return Score(mean, float(values.std(ddof=1)) if len(values) > 1 else 0.0, len(values))


def _over_subsets(reward: Reward, run: WorkflowRun) -> Floats:
    mixtures = [run.mixture]
    parts = (part for part in with_parts(reward) if "bayesian" not in part.needs)
    if any(isinstance(part, MixtureReward) for part in parts):
        mixtures += run.resampled
    return np.asarray([reward.value(replace(run, mixture=mixture)) for mixture in mixtures])


def needs_of(rewards: Iterable[Reward]) -> frozenset[str]:
    """What the runs must carry for these rewards, their parts included."""
    parts = (part for reward in rewards for part in with_parts(reward))
    return frozenset(need for part in parts for need in part.needs)


def raw_space(workflow: Workflow) -> bool:
    """Whether the scale of the latents enters a value that is optimised."""
    needed = "bayesian" in needs_of(workflow.rewards)
    return workflow.mixture.raw_space or (needed and workflow.bayesian.raw_space)


def scores_of(workflow: Workflow, run: WorkflowRun) -> dict[str, Score | None]:
    """Every reward and score of the study by label, in the order of the study file.

    A score that cannot be computed is None; a reward that is optimised always has a value, and
    the run is infeasible where that is a stand-in.
    """
    found: dict[str, Score | None] = {r.label: score_of(r, run) for r in workflow.rewards}
    return found | {r.label: known_score(r, run) for r in workflow.scores}


def optimised(workflow: Workflow, scores: Mapping[str, Score | None]) -> list[float]:
    """Of all values of a run those that are optimised, in the order of the study file."""
    found = [scores[reward.label] for reward in workflow.rewards]
    return [score.value for score in found if score is not None]  # a reward always has a value


def known_score(reward: Reward, run: WorkflowRun) -> Score | None:
    """The value of a reward, or None where only a stand-in could be given."""
    parts = with_parts(reward)
    try:
        for part in parts:
            part.check(run.micrograph, run.keypoints, run.comparison)
    except DataError:
        return None
    known = all(
        part.available(member)
        for part in parts
        # A reward that compares trainings looks at all of them from the first.
        for member in (run.members if part.least_replicates == 1 else (run,))
    )
    return score_of(reward, run) if known else None


def rewards_of(workflow: Workflow, run: WorkflowRun) -> dict[str, float]:
    """Value of every reward that is optimised, by label, in the order of the study file."""
    return {reward.label: score_of(reward, run).value for reward in workflow.rewards}
