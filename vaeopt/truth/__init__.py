"""The truth benchmark: does a reward pick the representation that is right (docs/truth.md).

A grid of configurations is trained on rendered scans whose building blocks are known; every reward
of every training is kept beside what the truth says of it.
"""

from vaeopt.truth.bench import GridProgress, SilentGrid, rescore, rows_of, train
from vaeopt.truth.file import Scene, TruthFile, TruthSettings, open_truth
from vaeopt.truth.findings import Interval, Reference, RewardSummary, SceneSummary, Summary
from vaeopt.truth.metrics import Truth, regret, truth_of
from vaeopt.truth.results import summary_of
from vaeopt.truth.rows import Row
from vaeopt.truth.studied import JudgedPick, JudgedStudy, judged_study

__all__ = [
    "GridProgress",
    "Interval",
    "JudgedPick",
    "JudgedStudy",
    "Reference",
    "RewardSummary",
    "Row",
    "Scene",
    "SceneSummary",
    "SilentGrid",
    "Summary",
    "Truth",
    "TruthFile",
    "TruthSettings",
    "judged_study",
    "open_truth",
    "regret",
    "rescore",
    "rows_of",
    "summary_of",
    "train",
    "truth_of",
]
