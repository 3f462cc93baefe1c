"""Floor 3: the stages in order, what a run leaves behind, and how it is read back."""

from vaeopt.stages.rewards.base import with_parts
from vaeopt.workflow.artefacts import load_run, save_run, write_export
from vaeopt.workflow.cache import StageCache
from vaeopt.workflow.devices import (
    COMPUTING,
    device_settings,
    expect_devices,
    gpus_of,
    resolve_devices,
)
from vaeopt.workflow.flow import walk, walk_many
from vaeopt.workflow.primitives import primitives
from vaeopt.workflow.run import comparison_for, complete, refit
from vaeopt.workflow.scores import Score, needs_of, optimised, rewards_of, score_of, scores_of
from vaeopt.workflow.settings import STAGES, Workflow

__all__ = [
    "COMPUTING",
    "STAGES",
    "Score",
    "StageCache",
    "Workflow",
    "comparison_for",
    "complete",
    "device_settings",
    "expect_devices",
    "gpus_of",
    "load_run",
    "needs_of",
    "optimised",
    "primitives",
    "refit",
    "resolve_devices",
    "rewards_of",
    "save_run",
    "score_of",
    "scores_of",
    "walk",
    "walk_many",
    "with_parts",
    "write_export",
]
