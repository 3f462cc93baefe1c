"""The figures of a study and of its winner, in the order in which they are read."""

from typing import NamedTuple

import optuna
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import WorkflowRun
from vaeopt.report import figures
from vaeopt.study.fronts.pareto import finished

__all__ = ["Panel", "study_panels", "winner_panels"]


class Panel(NamedTuple):
    """A figure with all that is said about it, and its data."""

    name: str
    """of its PNG and CSV files"""
    section: str
    """heading under which it stands"""
    title: str
    caption: str
    """what is seen and how it is read, in a few sentences"""
    figure: go.Figure
    """points that stand for a trial carry its number as ``customdata``"""
    frame: pd.DataFrame
    """the same data, one row per point, column names with units"""


def study_panels(
    study: optuna.Study,
    *,
    baseline: optuna.Study | None = None,
    pixel_size_nm: float | None = None,
) -> list[Panel]:
    """Figures of a whole study; those that have nothing to show are left out.

    Args:
        study: with or without finished trials.
        baseline: a study of the same objectives whose hypervolume is drawn beside.
        pixel_size_nm: of the image; puts nanometres below windows in pixels.

    Raises:
        StudyError: the baseline has other objectives.
    """
    if not finished(study):
        return []
    parts = [
        *_front(study),
        *_search(study, baseline),
        *_curves(study, pixel_size_nm),
        *_rewards(study),
        *_trials(study, pixel_size_nm),
    ]
    return [panel for panel in parts if len(panel.frame)]


def _front(study: optuna.Study) -> list[Panel]:
    count = len(study.directions)
    if count < 2:
        return []
    info = figures.front_info(study)
    frame = figures.front_frame(info)
    bars = " Bars are one standard deviation over repeated trainings." if _has_sd(info) else ""
    what = {
        2: "The line is the edge of what the front dominates; the axes show feasible trials, so "
        "that collapsed ones may lie outside." + bars,
        3: "Grey lines drop from the front to the worst value of the third objective. Drag to "
        "turn.",
    }.get(
        count,
        "Objectives are scaled so that the best feasible value of each is at the top.",
    )
    panels = [
        Panel(
            "front",
            "Pareto front",
            "The Pareto front",
            f"Every {'point' if count < 4 else 'line'} is a trial; no trial is better in all "
            "objectives than one of the front. "
            f"{'The outlined diamond' if count == 3 else 'The star'} is the compromise, nearest to "
            f"the ideal point. {what}",
            figures.draw_front(info),
            frame,
        )
    ]
    if count > 2:
        panels.append(
            Panel(
                "front_pairs",
                "Pareto front",
                "Two objectives at a time",
                "The same trials in the plane of every two objectives. A trial of the front that "
                "lies inside of a plane is good in another objective.",
                figures.draw_pairs(info),
                frame,
            )
        )
    return panels


def _has_sd(info: figures.FrontInfo) -> bool:
    return bool((info.sd[info.feasible] > 0).any())


def _search(study: optuna.Study, baseline: optuna.Study | None) -> list[Panel]:
    infos = [figures.history_info(study, i) for i in range(len(study.directions))]
    reached = figures.hypervolume_info(study, baseline)
    matter = figures.importances_info(study)
    several = len(infos) > 1
    return [
        Panel(
            "history",
            "The search",
            "Values in the order of the trials",
            "The line is the best feasible value so far. Crosses at the lower edge are collapsed "
            "trials, whose values do not count. Of trials with equal parameters the last stands "
            "for all, with their mean.",
            figures.draw_history(*infos),
            figures.history_frame(*infos),
        ),
        Panel(
            "hypervolume",
            "The search",
            "What the search reached" if several else "The best value so far",
            (
                "The hypervolume is the part of the space of the objectives that the front "
                "dominates, each objective scaled to [0, 1] and counted from 1.1. "
                if several
                else ""
            )
            + reached.caption,
            figures.draw_hypervolume(reached),
            figures.hypervolume_frame(reached),
        ),
        Panel(
            "importances",
            "The search",
            "Which parameters decide",
            f"PED-ANOVA over {matter.n} feasible trials: how differently a parameter is spread "
            f"over the best {100 * matter.quantile:.0f} % of them. It says that a parameter "
            "matters, not in which direction, and it is rough below about 50 trials."
            if matter.parameters
            else "",
            figures.draw_importances(matter),
            figures.importances_frame(matter),
        ),
    ]


def _curves(study: optuna.Study, pixel_size_nm: float | None) -> list[Panel]:
    panels = []
    for parameter in figures.numeric_parameters(study):
        info = figures.curves_info(study, parameter)
        window = parameter == figures.WINDOW
        panels.append(
            Panel(
                "curves" if window else f"curves_{parameter.replace('.', '_')}",
                "Rewards against parameters",
                "Rewards against the window" if window else f"Rewards against {parameter}",
                figures.curves_caption(info),
                figures.draw_curves(info, pixel_size_nm),
                figures.curves_frame(info),
            )
        )
    number = figures.number_info(study)
    panels.append(
        Panel(
            "number_of_components",
            "Rewards against parameters",
            "Number of components",
            "How many components each feasible trial found. Points that would cover each other "
            "stand side by side.",
            figures.draw_number(number, pixel_size_nm),
            figures.number_frame(number),
        )
    )
    return panels


def _rewards(study: optuna.Study) -> list[Panel]:
    agree, picks = figures.agreement_info(study), figures.picks_info(study)
    if len(agree.names) < 2:
        return []
    different = len(set(picks.trials.tolist()))
    return [
        Panel(
            "agreement",
            "Do the rewards agree?",
            "Rank agreement of rewards and scores",
            f"Spearman's correlation over {agree.n} feasible trials, every score turned so that "
            "higher is better: 1 is the same order, 0 none, -1 the opposite one.",
            figures.draw_agreement(agree),
            figures.agreement_frame(agree),
        ),
        Panel(
            "picks",
            "Do the rewards agree?",
            "What each reward would pick",
            f"{len(picks.names)} scores pick {different} different trials. A row is the trial that "
            "one of them picks; the numbers say which percentage of the feasible trials is no "
            "better in the eyes of each other one (100 is the best).",
            figures.draw_picks(picks),
            figures.picks_frame(study),
        ),
    ]


def _trials(study: optuna.Study, pixel_size_nm: float | None) -> list[Panel]:
    lost, took = figures.collapse_info(study), figures.seconds_info(study)
    total = int(lost.finished.sum())
    return [
        Panel(
            "collapse",
            "Collapsed trials and time",
            "Which trials collapsed",
            f"{len(lost.rows)} of {total} finished trials collapsed. Left: how many in each part "
            "of the space. Right: which tests they failed; a trial may fail several.",
            figures.draw_collapse(lost, pixel_size_nm),
            figures.collapse_frame(lost),
        ),
        Panel(
            "seconds",
            "Collapsed trials and time",
            "Where the time goes",
            "Wall time of the stages of each trial, all of its trainings together. Trials that "
            "train at once share their time.",
            figures.draw_seconds(took),
            figures.seconds_frame(took),
        ),
    ]


def winner_panels(number: int, run: WorkflowRun) -> list[Panel]:
    """Figures of one trial.

    Args:
        number: of the trial.
        run: of the same trial.
    """
    points = figures.points_frame(run)
    looks, between = figures.components_info(run), figures.manifold_info(run)
    losses, angles = figures.training_info(run), figures.angle_info(run)
    more = run.latents.latent_dim
    pair = (
        f" Of {more} latents the two are shown that tell the components apart best."
        if more > 2
        else ""
    )
    count = len(run.latents)
    chosen = f" {figures.MOST_POINTS} of {count} are drawn." if count > figures.MOST_POINTS else ""
    parts = [
        Panel(
            "winner_latents",
            "The winner",
            f"Latents of trial {number}",
            "One point per key point. Ellipses hold 86.5 % of a component in this plane (2 sigma); "
            f"ringed points are its core, grey ones were filtered.{pair}{chosen}",
            figures.draw_latents(figures.latents_info(run)),
            points,
        ),
        Panel(
            "winner_map",
            "The winner",
            f"Components of trial {number} on the image",
            "The same key points where they are. Faint ones did not pass the density filter. The "
            f"square in the corner is the window.{chosen}",
            figures.draw_map(figures.map_info(run)),
            points,
        ),
        Panel(
            "winner_components",
            "The winner",
            "What the components look like",
            figures.components_caption(looks),
            figures.draw_components(looks),
            figures.components_frame(looks),
        ),
        Panel(
            "winner_manifold",
            "The winner",
            "Between the components",
            "What the decoder makes of a grid of latents from their 2nd to their 98th percentile. "
            "Circles are the centres of the components."
            + (" The other latents are at their mean." if more > 2 else ""),
            figures.draw_manifold(between),
            figures.manifold_frame(between),
        ),
        Panel(
            "winner_angles",
            "The winner",
            "How the patches are turned",
            figures.angles_caption(angles),
            figures.draw_angles(angles),
            points if len(angles.angle_deg) else points[:0],
        ),
        Panel(
            "winner_training",
            "The winner",
            f"Training of trial {number}",
            "Loss per patch after each epoch. The axis begins behind the first twentieth of the "
            "epochs, which may lie above it.",
            figures.draw_loss(losses),
            figures.training_frame(losses),
        ),
    ]
    return [panel for panel in parts if len(panel.frame)]
