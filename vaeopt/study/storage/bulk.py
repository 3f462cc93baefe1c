"""Whole trials written to a storage: in one transaction where it is a database."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial

from vaeopt.study.storage.together import rdb_of

__all__ = ["add_trials"]


def add_trials(storage: BaseStorage, study_id: int, trials: Sequence[FrozenTrial]) -> None:
    """Write trials as they are, with their numbers, to a study that has none yet.

    Optuna's own ``add_trials`` takes some 50 statements a trial.

    Args:
        storage: of the study.
        study_id: in the storage.
        trials: all of them, from number 0 without gaps.
    """
    if [trial.number for trial in trials] != list(range(len(trials))):
        raise ValueError("trials must be numbered from 0 without gaps")
    rdb = rdb_of(storage)
    if rdb is None:
        for trial in trials:
            storage.create_new_trial(study_id, template_trial=trial)
        return
    with _create_scoped_session(rdb.scoped_session) as session:
        rows = [
            models.TrialModel(
                study_id=study_id,
                number=trial.number,
                state=trial.state,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
            )
            for trial in trials
        ]
        session.add_all(rows)
        session.flush()
        tables: dict[Any, list[dict[str, Any]]] = {}
        for row, trial in zip(rows, trials, strict=True):
            for table, values in _rows(int(row.trial_id), trial):
                tables.setdefault(table, []).append(values)
        for table, held in tables.items():
            session.execute(sqlalchemy.insert(table), held)


def _rows(trial_id: int, trial: FrozenTrial) -> list[tuple[Any, dict[str, Any]]]:
    """Every row of one trial beside its own, by table."""
    found: list[tuple[Any, dict[str, Any]]] = []
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        row = {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }
        found.append((models.TrialParamModel, row))
    for objective, value in enumerate(trial.values or ()):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        row = {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}
        found.append((models.TrialValueModel, row))
    for step, value in trial.intermediate_values.items():
        stored_step = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        row = {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": stored_step[0],
            "intermediate_value_type": stored_step[1],
        }
        found.append((models.TrialIntermediateValueModel, row))
    for table, attributes in (
        (models.TrialUserAttributeModel, trial.user_attrs),
        (models.TrialSystemAttributeModel, trial.system_attrs),
    ):
        for key, attribute in attributes.items():
            row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(attribute)}
            found.append((table, row))
    return found
