"""Pictures of one trial as PNG files, and its note: cheap enough to be made of every trial."""

from collections.abc import Callable, Mapping

from vaeopt.core.types import WorkflowRun
from vaeopt.report.pictures.canvas import Canvas
from vaeopt.report.pictures.keymap import draw_map
from vaeopt.report.pictures.latents import draw_latents
from vaeopt.report.pictures.manifold import draw_manifold
from vaeopt.report.pictures.reconstructions import draw_reconstructions
from vaeopt.report.pictures.training import draw_training

__all__ = ["PAINTERS"]

PAINTERS: Mapping[str, Callable[[WorkflowRun], Canvas]] = {
    "01_latents.png": draw_latents,
    "02_manifold.png": draw_manifold,
    "03_reconstructions.png": draw_reconstructions,
    "04_map.png": draw_map,
    "05_training.png": draw_training,
}
"""by file name, in the order in which optuna-dashboard lists them; the first is its thumbnail"""
