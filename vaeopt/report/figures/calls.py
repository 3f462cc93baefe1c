"""One call per figure, for notebooks."""

import optuna
import plotly.graph_objects as go

from vaeopt.core.types import WorkflowRun
from vaeopt.report.figures.agreement import (
    agreement_info,
    draw_agreement,
    draw_picks,
    picks_info,
)
from vaeopt.report.figures.building_blocks import (
    components_info,
    draw_components,
    draw_manifold,
    manifold_info,
)
from vaeopt.report.figures.collapse import collapse_info, draw_collapse
from vaeopt.report.figures.curves import WINDOW, curves_info, draw_curves
from vaeopt.report.figures.front import draw_front, draw_pairs, front_info
from vaeopt.report.figures.history import draw_history, history_info
from vaeopt.report.figures.hypervolume import draw_hypervolume, hypervolume_info
from vaeopt.report.figures.importances import draw_importances, importances_info
from vaeopt.report.figures.latents import draw_latents, latents_info
from vaeopt.report.figures.number import draw_number, number_info
from vaeopt.report.figures.real_space import angle_info, draw_angles, draw_map, map_info
from vaeopt.report.figures.seconds import draw_seconds, seconds_info
from vaeopt.report.figures.training import draw_loss, training_info

__all__ = [
    "agreement",
    "angles",
    "collapse",
    "components",
    "curves",
    "front",
    "history",
    "hypervolume",
    "importances",
    "latents",
    "manifold",
    "number_of_components",
    "pairs",
    "picks",
    "real_space",
    "seconds",
    "training",
]


def front(study: optuna.Study) -> go.Figure:
    """All trials in the space of two or three objectives; of more, lines across them."""
    return draw_front(front_info(study))


def pairs(study: optuna.Study) -> go.Figure:
    """Every two objectives as a plane."""
    return draw_pairs(front_info(study))


def history(study: optuna.Study) -> go.Figure:
    """Each objective in the order of the trials, with the best so far."""
    return draw_history(*(history_info(study, i) for i in range(len(study.directions))))


def hypervolume(study: optuna.Study, baseline: optuna.Study | None = None) -> go.Figure:
    """What is reached after each trial, beside a baseline.

    Args:
        study: with or without finished trials.
        baseline: a study of the same objectives, by random search for example.

    Raises:
        StudyError: the baseline has other objectives.
    """
    return draw_hypervolume(hypervolume_info(study, baseline))


def importances(study: optuna.Study) -> go.Figure:
    """Which parameters decide whether an objective is good (PED-ANOVA)."""
    return draw_importances(importances_info(study))


def curves(
    study: optuna.Study, parameter: str = WINDOW, *, pixel_size_nm: float | None = None
) -> go.Figure:
    """Rewards and scores against the window, or another searched number, per invariance."""
    return draw_curves(curves_info(study, parameter), pixel_size_nm)


def number_of_components(study: optuna.Study, *, pixel_size_nm: float | None = None) -> go.Figure:
    """How many components each feasible trial found."""
    return draw_number(number_info(study), pixel_size_nm)


def agreement(study: optuna.Study) -> go.Figure:
    """Rank correlation of every two rewards and scores."""
    return draw_agreement(agreement_info(study))


def picks(study: optuna.Study) -> go.Figure:
    """How good the trial that one score picks is in the eyes of the others."""
    return draw_picks(picks_info(study))


def collapse(study: optuna.Study, *, pixel_size_nm: float | None = None) -> go.Figure:
    """Which trials collapsed: where in the space, and why."""
    return draw_collapse(collapse_info(study), pixel_size_nm)


def seconds(study: optuna.Study) -> go.Figure:
    """Wall time of each stage in every finished trial."""
    return draw_seconds(seconds_info(study))


def latents(run: WorkflowRun, first: int | None = None, second: int | None = None) -> go.Figure:
    """Two latents of every key point with the components as ellipses.

    Args:
        run: of any number of latents.
        first: index of the latent to the right, from 0; the best pair is taken if left out.
        second: index of the latent upwards.
    """
    return draw_latents(latents_info(run, first, second))


def real_space(run: WorkflowRun) -> go.Figure:
    """Components at their key points on the image."""
    return draw_map(map_info(run))


def angles(run: WorkflowRun) -> go.Figure:
    """How each patch is turned, on the image."""
    return draw_angles(angle_info(run))


def components(run: WorkflowRun) -> go.Figure:
    """What the components look like: decoded centres and mean core patches."""
    return draw_components(components_info(run))


def manifold(run: WorkflowRun) -> go.Figure:
    """What the decoder makes of a grid of latents."""
    return draw_manifold(manifold_info(run))


def training(run: WorkflowRun) -> go.Figure:
    """Loss after each epoch."""
    return draw_loss(training_info(run))
