"""Optuna's cache in front of a database, asked only when the database may have changed.

The loop looks at all trials some eight times per trial, and Optuna reads the unfinished ones anew
every time, with all that belongs to them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

from vaeopt.study.storage.relational import Relational

__all__ = ["CachedStorage", "set_attributes"]

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class CachedStorage(_CachedStorage):
    """The same answers with fewer questions. Semi-private in Optuna: a test pins it."""

    def __init__(self, backend: Relational) -> None:
        super().__init__(backend)
        self._database = backend
        # By connection and study: what was in the database when the trials were last up to date.
        self._seen: dict[tuple[object, int], int] = {}

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        if self._backend.engine.dialect.name != "sqlite":
            super()._read_trials_from_remote_storage(study_id)
            return
        connection, version = self._database._ask(self._version)
        if self._seen.get((connection, study_id)) != version:
            super()._read_trials_from_remote_storage(study_id)
            self._seen[connection, study_id] = version

    def _version(self) -> tuple[object, int]:
        """A connection of the pool, and a number that changes when another one writes."""
        with _create_scoped_session(self._backend.scoped_session) as session:
            connection = session.connection()
            version: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            info: dict[str, object] = connection.connection.info
            return info.setdefault("vaeopt", object()), version

    @contextmanager
    def _forgotten(self) -> Iterator[None]:
        """Own writes are read again, also by a thread that reads in between, as the heartbeat."""
        self._seen.clear()
        try:
            yield
        finally:
            self._seen.clear()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Optuna's; own writes are read again."""
        with self._forgotten():
            return super().create_new_trial(study_id, template_trial)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Optuna's."""
        with self._forgotten():
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Optuna's."""
        with self._forgotten():
            return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Optuna's."""
        with self._forgotten():
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's."""
        with self._forgotten():
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's."""
        with self._forgotten():
            super().set_trial_system_attr(trial_id, key, value)

    def set_attributes(
        self, trial_id: int, user: Mapping[str, Any], system: Mapping[str, Any]
    ) -> None:
        """Many attributes of one trial in one statement each."""
        with self._forgotten():
            self._database._ask(lambda: self._insert(trial_id, user, system))

    def _insert(self, trial_id: int, user: Mapping[str, Any], system: Mapping[str, Any]) -> None:
        insert = _INSERTS[self._backend.engine.dialect.name]
        tables: tuple[tuple[Any, Mapping[str, Any]], ...] = (
            (models.TrialUserAttributeModel, user),
            (models.TrialSystemAttributeModel, system),
        )
        with _create_scoped_session(self._backend.scoped_session) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            state: Any = trial.state
            self._backend.check_trial_is_updatable(trial_id, state)
            for table, attributes in tables:
                if not attributes:
                    continue
                new = insert(table)
                new = new.on_conflict_do_update(
                    index_elements=[table.trial_id, table.key],
                    set_={"value_json": new.excluded.value_json},
                )
                rows = [
                    {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                    for key, value in attributes.items()
                ]
                session.execute(new, rows)


def set_attributes(
    storage: BaseStorage,
    trial_id: int,
    user: Mapping[str, Any],
    system: Mapping[str, Any] | None = None,
) -> None:
    """Attributes of a trial that runs, in one transaction where the storage can.

    Otherwise one after the other, the user's in their order last.

    Args:
        storage: of the study.
        trial_id: in the storage.
        user: what everybody sees, JSON-ready.
        system: what Optuna and its dashboard read.
    """
    if isinstance(storage, CachedStorage) and storage._backend.engine.dialect.name in _INSERTS:
        storage.set_attributes(trial_id, user, system or {})
        return
    for key, value in (system or {}).items():
        storage.set_trial_system_attr(trial_id, key, value)
    for key, value in user.items():
        storage.set_trial_user_attr(trial_id, key, value)
