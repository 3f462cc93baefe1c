"""Floor 3: the stages in order, what a run leaves behind, and how it is read back."""

from vaeopt.workflow.artefacts import load_run, save_run, write_export
from vaeopt.workflow.cache import StageCache
from vaeopt.workflow.primitives import primitives
from vaeopt.workflow.run import comparison_for, rewards_of, walk
from vaeopt.workflow.settings import STAGES, Workflow

__all__ = [
    "STAGES",
    "StageCache",
    "Workflow",
    "comparison_for",
    "load_run",
    "primitives",
    "rewards_of",
    "save_run",
    "walk",
    "write_export",
]
