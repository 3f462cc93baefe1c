"""What re-trained leaders say: fresh values beside those of the search, and how sure they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from vaeopt.core.types import Floats
from vaeopt.study.fronts.ranking import (
    intraclass_correlation,
    mean_kendall_tau,
    runs_needed,
    share_of_best,
)

__all__ = ["DISTANCE", "Confirmation", "Leader", "Ranking", "Standing", "rank"]

DISTANCE = "distance"
"""name of the overall order of several objectives: distance to the ideal point"""


@dataclass(frozen=True)
class Leader:
    """One trial of the search and what its fresh trainings gave."""

    trial: int
    search: Mapping[str, float]
    """value in the search by label"""
    fresh: Mapping[int, Mapping[str, float]]
    """values by label of every healthy training, by number of the fresh seed"""
    collapsed: int = 0
    """fresh trainings that collapsed; their values count nowhere"""


@dataclass(frozen=True)
class Standing:
    """One trial in one ranking."""

    trial: int
    search: float
    """value in the search: chosen because it was good, so partly luck"""
    mean: float | None
    """of the fresh values; None without a healthy training"""
    sd: float | None
    """standard deviation of one training (ddof = 1); None with fewer than two"""
    n: int
    """healthy fresh trainings"""
    collapsed: int
    share_best: float | None
    """share of bootstrap draws in which its mean is the best; None with fewer than two trainings
    of a candidate"""

    @property
    def candidate(self) -> bool:
        """Whether it may win: at least half of its fresh trainings are healthy."""
        return self.n > 0 and self.n >= self.collapsed


@dataclass(frozen=True)
class Ranking:
    """All leaders by one value."""

    label: str
    direction: Literal["minimize", "maximize"]
    standings: tuple[Standing, ...]
    """in the order of the search"""
    kendall_tau: float | None
    """mean agreement of the rankings by single trainings, in [-1, 1]"""
    icc: float | None
    """share of the variance that lies between the trials, in [0, 1]"""
    runs_needed: int | None
    """trainings of each of the first two that tell them apart"""

    @property
    def order(self) -> tuple[Standing, ...]:
        """Best fresh mean first; those that may not win last."""
        sign = 1.0 if self.direction == "minimize" else -1.0
        return tuple(
            sorted(
                self.standings,
                key=lambda one: (
                    not one.candidate,
                    math.inf if one.mean is None else sign * one.mean,
                ),
            )
        )


def rank(
    label: str, direction: Literal["minimize", "maximize"], leaders: Sequence[Leader]
) -> Ranking:
    """The ranking of these leaders by one label, with its statistics (semantics 10.2, 10.3)."""
    groups = [np.asarray([v[label] for v in leader.fresh.values()]) for leader in leaders]
    plain = [
        Standing(
            trial=leader.trial,
            search=leader.search[label],
            mean=float(group.mean()) if len(group) else None,
            sd=float(group.std(ddof=1)) if len(group) > 1 else None,
            n=len(group),
            collapsed=leader.collapsed,
            share_best=None,
        )
        for leader, group in zip(leaders, groups, strict=True)
    ]
    shares = _shares(plain, groups, direction)
    standings = tuple(
        replace(one, share_best=share) for one, share in zip(plain, shares, strict=True)
    )
    seeds = sorted({seed for leader in leaders for seed in leader.fresh})
    table = np.full((len(leaders), len(seeds)), np.nan)
    for i, leader in enumerate(leaders):
        for seed, values in leader.fresh.items():
            table[i, seeds.index(seed)] = values[label]
    ranking = Ranking(
        label=label,
        direction=direction,
        standings=standings,
        kendall_tau=_known(mean_kendall_tau(table)),
        icc=_known(intraclass_correlation(groups)),
        runs_needed=None,
    )
    return replace(ranking, runs_needed=_runs(ranking.order))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shares(
    standings: Sequence[Standing], groups: Sequence[Floats], direction: str
) -> list[float | None]:
    candidates = [i for i, one in enumerate(standings) if one.candidate]
    if not candidates or any(standings[i].n < 2 for i in candidates):
        return [None] * len(standings)
    sign = 1.0 if direction == "minimize" else -1.0
    found: list[float | None] = [0.0] * len(standings)
    for i, share in zip(
        candidates, share_of_best([sign * groups[i] for i in candidates]), strict=True
    ):
        found[i] = float(share)
    return found


def _runs(order: Sequence[Standing]) -> int | None:
    """For the first two, with the root mean square of their standard deviations."""
    rivals = [one for one in order if one.candidate][:2]
    if len(rivals) < 2:
        return None
    (first, second) = rivals
    if first.sd is None or second.sd is None or first.mean is None or second.mean is None:
        return None
    sd = math.sqrt((first.sd**2 + second.sd**2) / 2)
    return runs_needed(sd, abs(first.mean - second.mean))


@dataclass(frozen=True)
class Confirmation:
    """The leaders of a search after fresh trainings."""

    study: str
    """of the re-trainings, in the same storage"""
    rankings: tuple[Ranking, ...]
    """one per reward; of several rewards a last one by distance to the ideal point"""
    failed: int
    """trainings that ended with an error"""

    @property
    def overall(self) -> Ranking:
        """The ranking that decides."""
        return self.rankings[-1]

    @property
    def winner(self) -> int | None:
        """Number of the trial with the best fresh mean; None if none may win."""
        first = self.overall.order[0]
        return first.trial if first.candidate else None

    @property
    def sentence(self) -> str:
        """Who wins, whether the winner of the search kept its place, and how sure that is."""
        ranking, order = self.overall, self.overall.order
        first = order[0]
        if all(one.n + one.collapsed == 0 for one in order):
            return "no trial is confirmed: no re-training has finished"
        if not first.candidate:
            return "no trial is confirmed: more than half of the re-trainings of each collapsed"
        trained = f"{first.n} re-training{'s' if first.n > 1 else ''}"
        won = f"trial {first.trial} wins: {ranking.label} {first.mean:.4g} over {trained}"
        favourite = ranking.standings[0].trial
        if favourite == first.trial:
            kept = "it won the search too"
        else:
            place = [one.trial for one in order].index(favourite) + 1
            kept = f"trial {favourite}, which won the search, comes in at place {place}"
        return f"{won}; {kept}; {_how_sure(ranking)}"

    def to_table(self) -> dict[str, Any]:
        """JSON-ready, with the overall order and the sentence."""
        return {
            "study": self.study,
            "winner": self.winner,
            "order": [one.trial for one in self.overall.order],
            "sentence": self.sentence,
            "failed": self.failed,
            "rankings": [asdict(ranking) for ranking in self.rankings],
        }


def _how_sure(ranking: Ranking) -> str:
    first, *others = ranking.order
    rivals = [one for one in others if one.candidate]
    if not rivals:
        return "no other trial could win"
    if first.share_best is None:
        return "one training each says nothing about chance, use more --seeds"
    sure = f"it is the best in {100 * first.share_best:.0f} % of bootstrap draws"
    if ranking.runs_needed is None:
        return f"{sure}, and nothing tells it from trial {rivals[0].trial}"
    if ranking.runs_needed > min(first.n, rivals[0].n):
        return (
            f"{sure}, but about {ranking.runs_needed} trainings each are needed to tell it from "
            f"trial {rivals[0].trial}"
        )
    return f"{sure}, and the trainings are enough to tell it from trial {rivals[0].trial}"
