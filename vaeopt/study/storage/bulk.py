"""Whole trials written to a storage: in one transaction where it is a database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial

from vaeopt.study.storage.cached import CachedStorage
from vaeopt.study.storage.rows import rows_of
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
            for table, values in rows_of(int(row.trial_id), trial):
                tables.setdefault(table, []).extend(values)
        for table, held in tables.items():
            session.connection().execute(sqlalchemy.insert(table), held)
    if isinstance(storage, CachedStorage):
        storage.forget()  # it has not seen them
