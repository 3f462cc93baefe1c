"""Optuna's tables by plain statements: without an object of SQLAlchemy for every row.

Reading and writing trials through objects takes several times as long as all else that happens
between two trainings. Tables, values and errors are those of Optuna; a test compares.
"""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

__all__ = ["RowStorage", "local", "rows_of", "stored_distribution"]

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# More cannot be named in one statement everywhere.
_NAMED = 10_000

_Rows = Sequence[Any]
_trials = models.TrialModel.__table__
_params = models.TrialParamModel.__table__
_values = models.TrialValueModel.__table__
_steps = models.TrialIntermediateValueModel.__table__
_user = models.TrialUserAttributeModel.__table__
_system = models.TrialSystemAttributeModel.__table__


class RowStorage(RDBStorage):
    """Optuna's database. MySQL is written to as Optuna does, others by fewer statements."""

    @property
    def writes_rows(self) -> bool:
        """Whether attributes and values are written by these statements."""
        return self.engine.dialect.name in _INSERTS

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial; ``KeyError`` if there is none."""
        with _create_scoped_session(self.scoped_session) as session:
            found = _read(session.connection(), _trials.c.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Optuna's."""
        after, trial_id = trial_id_greater_than, _trials.c.trial_id
        included = sorted(i for i in included_trial_ids if i <= after)
        within: ColumnElement[bool] = _trials.c.study_id == study_id
        if after > -1 and len(included) <= _NAMED:
            later = trial_id > after
            within &= sqlalchemy.or_(trial_id.in_(included), later) if included else later
        with _create_scoped_session(self.scoped_session) as session:
            found = _read(session.connection(), within)
            if not found:
                models.StudyModel.find_or_raise_by_id(study_id, session)
        known = set(included)
        return [
            trial
            for trial in found
            if (trial._trial_id > after or trial._trial_id in known)
            and (states is None or trial.state in states)
        ]

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> models.TrialModel:
        """Optuna's, as one statement for each table. The row of the study is locked by then."""
        if not self.writes_rows:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        connection: Connection = session.connection()
        new = models.TrialModel(study_id=study_id, state=TrialState.RUNNING)  # of no session
        if template_trial is None:
            new.datetime_start = datetime.now()
        else:
            new.state = template_trial.state
            new.datetime_start = template_trial.datetime_start
            new.datetime_complete = template_trial.datetime_complete
        earlier = select(sqlalchemy.func.count(_trials.c.trial_id)).where(
            _trials.c.study_id == study_id
        )
        values = {
            "study_id": study_id,
            "state": new.state,
            "datetime_start": new._datetime_start_utc,
            "datetime_complete": new._datetime_complete_utc,
        }
        # Counted by the statement that inserts: on SQLite nobody else can write from there on.
        row = insert(_trials).values(number=earlier.scalar_subquery(), **values)
        key: Any = connection.execute(row).inserted_primary_key
        trial_id: int = key[0]
        number = select(_trials.c.number).where(_trials.c.trial_id == trial_id)
        new.trial_id, new.number = trial_id, connection.execute(number).scalar_one()
        if template_trial is not None:
            for name, distribution in template_trial.distributions.items():
                self._check_compatible(connection, study_id, name, distribution)
            for table, row_values in rows_of(trial_id, template_trial):
                connection.execute(insert(table), row_values)
        return new

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        connection: Connection = session.connection()
        study_id = self._updatable(connection, trial_id)[0]
        if previous_distribution is None:
            self._check_compatible(connection, study_id, param_name, distribution)
        else:
            check_distribution_compatibility(previous_distribution, distribution)
        values = _param_row(trial_id, param_name, param_value_internal, distribution)
        connection.execute(_new_param, values)

    @staticmethod
    def _check_compatible(
        connection: Connection, study_id: int, name: str, distribution: BaseDistribution
    ) -> None:
        one = _earlier_param
        found = connection.execute(one, {"of_study": study_id, "of_name": name}).scalar()
        if found is not None:
            check_distribution_compatibility(stored_distribution(found), distribution)

    def set_trial_state_values(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None = None,
        *,
        now: datetime | None = None,
    ) -> bool:
        """Optuna's.

        Args:
            trial_id: in the storage.
            state: that it has from now on.
            values: of its objectives.
            now: local time of the change.
        """
        if not self.writes_rows:
            return super().set_trial_state_values(trial_id, state, values)
        at = _utc(now or datetime.now())
        changed: dict[str, Any] = {"state": state}
        if state == TrialState.RUNNING:
            changed["datetime_start"] = at
        if state.is_finished():
            changed["datetime_complete"] = at
        with (
            suppress(IntegrityError),
            _create_scoped_session(self.scoped_session) as session,
        ):
            connection = session.connection()
            was = self._updatable(connection, trial_id, lock=True)[1]
            if values:
                rows = [_value_row(trial_id, place, value) for place, value in enumerate(values)]
                connection.execute(_put_value(self.engine.dialect.name), rows)
            if state == TrialState.RUNNING and was != TrialState.WAITING:
                return False
            mine = _trials.c.trial_id == trial_id
            connection.execute(update(_trials).where(mine).values(**changed))
            return True
        return False

    def set_attributes(
        self, trial_id: int, user: Mapping[str, Any], system: Mapping[str, Any]
    ) -> None:
        """Many attributes of one trial, one statement for each kind.

        Args:
            trial_id: in the storage.
            user: JSON of each by name.
            system: JSON of each by name.
        """
        with _create_scoped_session(self.scoped_session, True) as session:
            connection = session.connection()
            self._updatable(connection, trial_id)
            for table, attributes in ((_user, user), (_system, system)):
                if attributes:
                    rows = [
                        {"trial_id": trial_id, "key": key, "value_json": value}
                        for key, value in attributes.items()
                    ]
                    connection.execute(_put_attribute(self.engine.dialect.name, table), rows)

    def _updatable(
        self, connection: Connection, trial_id: int, *, lock: bool = False
    ) -> tuple[int, TrialState]:
        """Study and state of a trial that may still be changed."""
        held = connection.execute(_state_locked if lock else _state, {"of": trial_id}).one_or_none()
        if held is None:
            raise KeyError(models.NOT_FOUND_MSG)
        self.check_trial_is_updatable(trial_id, held.state)
        return held.study_id, held.state


_state = select(_trials.c.study_id, _trials.c.state).where(_trials.c.trial_id == bindparam("of"))
_state_locked = _state.with_for_update()
_new_param = insert(_params)
_earlier_param = (
    select(_params.c.distribution_json)
    .join(_trials, _trials.c.trial_id == _params.c.trial_id)
    .where(_trials.c.study_id == bindparam("of_study"))
    .where(_params.c.param_name == bindparam("of_name"))
    .limit(1)
)


@cache
def _put_attribute(dialect: str, table: Any) -> Any:
    new = _INSERTS[dialect](table)
    return new.on_conflict_do_update(
        index_elements=[table.c.trial_id, table.c.key],
        set_={"value_json": new.excluded.value_json},
    )


@cache
def _put_value(dialect: str) -> Any:
    new = _INSERTS[dialect](_values)
    return new.on_conflict_do_update(
        index_elements=[_values.c.trial_id, _values.c.objective],
        set_={"value": new.excluded.value, "value_type": new.excluded.value_type},
    )


def _read(connection: Connection, within: ColumnElement[bool]) -> list[FrozenTrial]:
    """Trials in the order of their ids."""
    columns = (
        _trials.c.trial_id,
        _trials.c.number,
        _trials.c.state,
        _trials.c.datetime_start,
        _trials.c.datetime_complete,
    )
    rows = connection.execute(select(*columns).where(within).order_by(_trials.c.trial_id)).all()
    if not rows:
        return []

    def of_each(table: Any, *names: str) -> dict[int, list[_Rows]]:
        """Rows of a table by trial, in the order in which they were written."""
        (key,) = table.primary_key
        wanted = (key, table.c.trial_id, *(table.c[name] for name in names))
        joined = table.join(_trials, _trials.c.trial_id == table.c.trial_id)
        query = select(*wanted).select_from(joined).where(within)
        held: dict[int, list[_Rows]] = {}
        for _, trial_id, *row in sorted(connection.execute(query).all(), key=itemgetter(0)):
            held.setdefault(trial_id, []).append(row)
        return held

    params = of_each(_params, "param_name", "param_value", "distribution_json")
    values = of_each(_values, "objective", "value", "value_type")
    steps = of_each(_steps, "step", "intermediate_value", "intermediate_value_type")
    user = of_each(_user, "key", "value_json")
    system = of_each(_system, "key", "value_json")
    found = []
    for trial_id, number, state, start, complete in rows:
        held = [(n, v, stored_distribution(text)) for n, v, text in params.get(trial_id, ())]
        trial = FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=_values_in(values.get(trial_id, ())),
            datetime_start=local(start),
            datetime_complete=local(complete),
            params={name: kind.to_external_repr(value) for name, value, kind in held},
            distributions={name: kind for name, _, kind in held},
            user_attrs={key: json.loads(text) for key, text in user.get(trial_id, ())},
            system_attrs={key: json.loads(text) for key, text in system.get(trial_id, ())},
            intermediate_values={
                step: models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(*value)
                for step, *value in steps.get(trial_id, ())
            },
            trial_id=trial_id,
        )
        found.append(trial)
    return found


def _values_in(rows: Iterable[_Rows]) -> list[float] | None:
    held = {place: models.TrialValueModel.stored_repr_to_value(*value) for place, *value in rows}
    return [held[place] for place in range(len(held))] or None


@lru_cache(maxsize=1024)  # of a study they are the same in all trials
def stored_distribution(text: str) -> BaseDistribution:
    """The distribution that Optuna has written so."""
    return json_to_distribution(text)


def local(at: datetime | None) -> datetime | None:
    """What the storage holds in UTC, as Optuna shows it."""
    return at and at.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _param_row(
    trial_id: int, name: str, value: float, distribution: BaseDistribution
) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "param_name": name,
        "param_value": value,
        "distribution_json": distribution_to_json(distribution),
    }


def _value_row(trial_id: int, objective: int, value: float) -> dict[str, Any]:
    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


def _step_row(trial_id: int, step: int, value: float) -> dict[str, Any]:
    stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {
        "trial_id": trial_id,
        "step": step,
        "intermediate_value": stored,
        "intermediate_value_type": kind,
    }


def rows_of(trial_id: int, trial: FrozenTrial) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Every row of one trial beside its own, by table."""
    attributes = [
        [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
            for key, value in held.items()
        ]
        for held in (trial.user_attrs, trial.system_attrs)
    ]
    params = [
        _param_row(trial_id, name, kind.to_internal_repr(trial.params[name]), kind)
        for name, kind in trial.distributions.items()
    ]
    found: list[tuple[Any, list[dict[str, Any]]]] = [
        (_params, params),
        (_values, [_value_row(trial_id, i, v) for i, v in enumerate(trial.values or ())]),
        (_steps, [_step_row(trial_id, *step) for step in trial.intermediate_values.items()]),
        (_user, attributes[0]),
        (_system, attributes[1]),
    ]
    return [(table, rows) for table, rows in found if rows]
