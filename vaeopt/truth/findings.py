"""What a benchmark says, as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Interval", "Reference", "RewardSummary", "SceneSummary", "Summary"]


@dataclass(frozen=True)
class Interval:
    """A mean over families, and where 95 % of its bootstrap values lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RewardSummary:
    """One column."""

    name: str
    rho: Interval
    """Spearman with the truth among healthy configurations; a scene without values counts as 0"""
    regret: Interval
    """what its pick lacks; a scene without values counts as a pick at random"""
    rho_by_family: Mapping[str, float | None]
    """None where it has no value on any scene of the family"""
    regret_by_family: Mapping[str, float]
    rho_by_scene: Mapping[str, float | None]
    regret_by_scene: Mapping[str, float]
    rho_all: float
    """the same as ``rho``, collapsed configurations included"""
    regret_all: float
    within: Mapping[str, Mapping[str, float | None]]
    """by searched setting and value: rho among the configurations that share it"""
    structure_at_pick: float | None
    """share of negative controls where the trainings of its pick claim structure"""
    auc_structure: float | None
    """chance that its best value is higher on a scene with structure than on one without"""
    asked: bool = False
    """whether the file names it, by itself or in a view; all others are there for comparison"""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What no reward can do without the truth, or any could without looking."""

    name: str
    rho: float | None
    regret: float | None
    regret_by_family: Mapping[str, float]
    rho_by_family: Mapping[str, float]
    what: str


@dataclass(frozen=True, kw_only=True)
class SceneSummary:
    """One scene, without any reward."""

    name: str
    family: str
    n_classes: int
    configurations: int
    trainings: int
    collapsed: float
    """share of the trainings"""
    claims_structure: float | None
    """share of the trainings whose mixture is better than one Gaussian"""
    gain: float | None
    """structure gain, mean over the trainings"""
    right_k: float | None
    """share of the trainings that choose the true number of components"""
    best: float | None
    """of a configuration, mean over its trainings"""
    mean: float | None
    best_params: Mapping[str, Any] = field(default_factory=dict)
    """that configuration"""
    best_knn15: float | None = None
    best_angle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole benchmark."""

    name: str
    target: str
    """metric of the truth that rewards are judged by"""
    rewards: list[RewardSummary]
    """the best first"""
    references: list[Reference]
    scenes: list[SceneSummary]
    families: list[str]
    """with more than one building block"""
    controls: list[str]
    """families with one"""
    trainings: int
    missing: int
    """trainings of the grid that are not finished"""

    def to_table(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
