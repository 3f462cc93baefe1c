"""Figures of a study and of one trial: pure ``*_info()`` functions, thin ``draw_*()`` ones."""

from vaeopt.report.figures.building_blocks import draw_components
from vaeopt.report.figures.curves import Curve, CurvesInfo, curves_info, draw_curves
from vaeopt.report.figures.front import FrontInfo, draw_front, front_info
from vaeopt.report.figures.history import HistoryInfo, draw_history, history_info
from vaeopt.report.figures.hypervolume import draw_hypervolume
from vaeopt.report.figures.latents import LatentsInfo, draw_latents, latents_info
from vaeopt.report.figures.picks import picks_frame
from vaeopt.report.figures.real_space import MapInfo, draw_map, map_info
from vaeopt.report.figures.training import draw_loss

__all__ = [
    "Curve",
    "CurvesInfo",
    "FrontInfo",
    "HistoryInfo",
    "LatentsInfo",
    "MapInfo",
    "curves_info",
    "draw_components",
    "draw_curves",
    "draw_front",
    "draw_history",
    "draw_hypervolume",
    "draw_latents",
    "draw_loss",
    "draw_map",
    "front_info",
    "history_info",
    "latents_info",
    "map_info",
    "picks_frame",
]
