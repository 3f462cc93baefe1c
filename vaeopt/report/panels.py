"""The figures of a study and of its winner, in the order in which they are read."""

from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go

from vaeopt.core.types import WorkflowRun
from vaeopt.report import figures
from vaeopt.study.fronts.hypervolume import hypervolume_history
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.results.access import trials_frame

__all__ = ["Panel", "study_panels", "winner_panels"]


class Panel(NamedTuple):
    """A figure with all that is said about it, and its data."""

    name: str
    """of its PNG and CSV files"""
    section: str
    """heading under which it stands"""
    title: str
    caption: str
    """what is seen and how it is read, in one to three sentences"""
    figure: go.Figure
    """points that stand for a trial carry its number as ``customdata``"""
    frame: pd.DataFrame
    """the same data, one row per point, column names with units"""


def study_panels(study: optuna.Study, *, baseline: optuna.Study | None = None) -> list[Panel]:
    """Figures of a whole study; those that have nothing to show are left out.

    Args:
        study: with or without finished trials.
        baseline: a study of the same objectives whose hypervolume is drawn beside.

    Raises:
        StudyError: the baseline has other objectives.
    """
    if not finished(study):
        return []
    frame = trials_frame(study)
    panels = []
    if len(study.directions) > 1:
        panels.append(
            Panel(
                "front",
                "Pareto front",
                "Pareto front",
                "Every point is a trial. No trial is better in all objectives than one of the "
                "front.",
                figures.draw_front(figures.front_info(study)),
                frame,
            )
        )
    for i in range(len(study.directions)):
        info = figures.history_info(study, i)
        panels.append(
            Panel(
                f"history_{i + 1}",
                "History",
                f"History of {info.name}",
                "Values in the order of the trials; the line is the best so far.",
                figures.draw_history(info),
                pd.DataFrame(
                    {
                        "trial": info.numbers,
                        info.name: info.values,
                        "feasible": info.feasible,
                        "best so far": info.best,
                    }
                ),
            )
        )
    if len(study.directions) > 1 or baseline is not None:
        history = hypervolume_history(study, baseline)
        panels.append(
            Panel(
                "hypervolume",
                "Hypervolume",
                "Hypervolume against trials",
                "The part of the space of the objectives that the front dominates.",
                figures.draw_hypervolume(study, baseline),
                pd.DataFrame(
                    {"finished trials": np.arange(1, len(history) + 1), "hypervolume": history}
                ),
            )
        )
    curves = figures.curves_info(study)
    if curves.curves:
        rows = [
            {"value": name, "invariances": c.group, "window_px": w, "mean": m, "low": lo, "high": h}
            for name, lines in curves.curves.items()
            for c in lines
            for w, m, lo, h in zip(c.window_px, c.mean, c.low, c.high, strict=True)
        ]
        panels.append(
            Panel(
                "curves",
                "Against the window",
                "Rewards against the window",
                "Feasible trials only. The loss is the training loss in nats per patch; it grows "
                "with the number of pixels.",
                figures.draw_curves(curves),
                pd.DataFrame(rows),
            )
        )
    return panels


def winner_panels(number: int, run: WorkflowRun) -> list[Panel]:
    """Figures of one trial.

    Args:
        number: of the trial.
        run: of the same trial.
    """
    component, kept = run.mixture.component, run.mixture.kept
    z, yx = run.latents.z_mean, run.keypoints.yx_px[run.patches.keypoint_index]
    points = pd.DataFrame(
        {
            "row_px": yx[:, 0],
            "column_px": yx[:, 1],
            "component": component,
            "kept": kept,
            "core": run.mixture.core,
            **{f"z{j + 1}": z[:, j] for j in range(z.shape[1])},
        }
    )
    loss = run.vae.loss_nats
    return [
        Panel(
            "winner_latents",
            "Winner",
            f"Latents of trial {number}",
            "One point per patch, coloured by component. Ellipses are drawn at 2 sigma; core "
            "points are ringed, filtered ones grey.",
            figures.draw_latents(figures.latents_info(run)),
            points,
        ),
        Panel(
            "winner_map",
            "Winner",
            f"Components of trial {number} on the image",
            "The same points at their key points.",
            figures.draw_map(figures.map_info(run)),
            points,
        ),
        Panel(
            "winner_components",
            "Winner",
            "What the components look like",
            "Decoded centre of each component beside the mean patch of its core points.",
            figures.draw_components(run),
            points.groupby("component", as_index=False).size(),
        ),
        Panel(
            "winner_training",
            "Winner",
            f"Training of trial {number}",
            "Loss per patch after each epoch.",
            figures.draw_loss(run),
            pd.DataFrame({"epoch": np.arange(1, len(loss) + 1), "loss_nats": loss}),
        ),
    ]
