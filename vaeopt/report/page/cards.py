"""What the page knows of each trial when somebody points at it: picture, values, parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.report.page.markup import cell
from vaeopt.report.thumbnail import Picture, draw_thumbnail, in_grey, png_uri, thumbnail_info
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.fronts.pareto import finished, margin
from vaeopt.study.results.access import metric_names
from vaeopt.study.results.latents import read_latents

__all__ = ["Pictures", "cards", "pictures_of"]


class Pictures(NamedTuple):
    """Small pictures of the latents of trials."""

    by_trial: Mapping[int, Picture]
    missing: Sequence[int]
    """trials whose files cannot be read"""


def pictures_of(study: optuna.Study, store: Artefacts) -> Pictures:
    """One picture per finished trial; those of collapsed ones are grey."""
    found: dict[int, Picture] = {}
    missing = []
    for trial in finished(study):
        try:
            picture = draw_thumbnail(thumbnail_info(read_latents(trial, store)))
        except StudyError:
            missing.append(trial.number)
            continue
        found[trial.number] = in_grey(picture) if margin(trial) > 0 else picture
    return Pictures(found, missing)


def cards(study: optuna.Study, frame: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """Per trial number what its card shows, JSON-ready.

    Args:
        study: the same study.
        frame: its ``trials_frame``.
        pictures: of its trials.
    """
    by_number = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    names = metric_names(study)
    table: dict[str, Any] = {}
    for row in frame.to_dict(orient="records"):
        number = int(row["trial"])
        picture = pictures.by_trial.get(number)
        table[str(number)] = {
            "note": _note(by_number[number], row),
            "values": [[name, cell(row[name])] for name in names if cell(row[name])],
            "params": [[str(k), cell(v)] for k, v in by_number[number].params.items()],
            "components": cell(row.get("components")),
            "image": None if picture is None else png_uri(picture),
        }
    return table


def _note(trial: FrozenTrial, row: Mapping[Any, Any]) -> str:
    if trial.state != TrialState.COMPLETE:
        return f"{row['state']}: {row['reason']}" if row["reason"] else str(row["state"])
    if not row["feasible"]:
        return f"collapsed: {row['reason']}"
    if row.get("superseded"):
        return "part of the mean of a later trial"
    return "on the Pareto front" if row["front"] else ""
