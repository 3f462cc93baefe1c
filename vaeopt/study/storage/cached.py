"""Optuna's cache in front of a database, asked only when others have written to it.

The loop looks at all trials some twenty times per trial, and Optuna reads the unfinished ones anew
every time, with all that belongs to them.
"""

import copy
import json
import sqlite3
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import PoolProxiedConnection

from vaeopt.study.storage.exclusive import exclusive
from vaeopt.study.storage.relational import Relational
from vaeopt.study.storage.rows import local, stored_distribution

__all__ = ["CachedStorage", "set_attributes"]


class CachedStorage(_CachedStorage):
    """The same answers with fewer questions. Semi-private in Optuna: a test pins it.

    SQLite tells a connection whether another one has written. As long as none has, trials are
    answered from memory, where own writes are noted as the database would give them back. A write
    or a transaction that fails is forgotten: what it has touched is read again.

    One thread at a time writes, notes and reads: another one that reads while a transaction is
    open would take back what was noted.
    """

    def __init__(self, backend: Relational) -> None:
        super().__init__(backend)
        self._database = backend
        self._lock: Any = threading.RLock()
        # By connection and study: what was in the database when the trials were last up to date.
        self._seen: dict[tuple[object, int], int] = {}
        # Trials that were written to since the last commit, and whether they were made since.
        self._written: dict[tuple[int, int, int], bool] = {}
        # By study and states: trials in their order.
        self._lists: dict[int, dict[tuple[TrialState, ...] | None, list[FrozenTrial]]] = {}
        self._together = False

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.RLock()

    @property
    def _watched(self) -> bool:
        return self._backend.engine.dialect.name == "sqlite"

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Optuna's."""
        with self._lock:
            self._read_trials_from_remote_storage(study_id)
            lists = self._lists.setdefault(study_id, {})
            if None not in lists:
                held = self._studies[study_id].trials
                lists[None] = [held[number] for number in sorted(held)]
            key = (
                None if states is None else tuple(state for state in TrialState if state in states)
            )
            if key is not None and key not in lists:
                lists[key] = [trial for trial in lists[None] if trial.state in key]
            trials = list(lists[key])
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Optuna's; whoever asks may change what belongs to an unfinished one."""
        with self._lock:
            place = self._trial_id_to_study_id_and_number.get(trial_id)
            if not self._watched or place is None:
                return super().get_trial(trial_id)
            study_id, number = place
            trial = self._studies[study_id].trials.get(number)
            if trial is None or not trial.state.is_finished():
                self._read_trials_from_remote_storage(study_id)
                trial = self._studies[study_id].trials.get(number)
        if trial is None:  # it was undone
            return super().get_trial(trial_id)
        return trial if trial.state.is_finished() else _given(trial)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        with self._lock:
            if not self._watched:
                self._lists.pop(study_id, None)
                super()._read_trials_from_remote_storage(study_id)
                return
            connection, version = self._database._ask(self._version)
            if self._seen.get((connection, study_id)) != version:
                self._read_changes(study_id)
                self._seen[connection, study_id] = version

    def _version(self) -> tuple[object, int]:
        """A connection of the pool, and a number that changes when another one writes."""
        if not self._together:
            # Without a session, which takes ten times as long and is asked for some twenty times.
            try:
                with closing(self._backend.engine.raw_connection()) as connection:
                    return _version_of(connection)
            except sqlite3.Error:
                pass  # said again below, as a storage says it
        with _create_scoped_session(self._backend.scoped_session) as session:
            return _version_of(session.connection().connection)

    def _read_changes(self, study_id: int) -> None:
        # Again also what this process has finished: others may have written to it before.
        self._lists.pop(study_id, None)
        super()._read_trials_from_remote_storage(study_id)

    def delete_study(self, study_id: int) -> None:
        """Optuna's."""
        with self._noting():
            super().delete_study(study_id)
            self.forget()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Optuna's."""
        with self._noting() as noted:
            trial_id = super().create_new_trial(study_id, template_trial)
            if noted:
                _, number = self._trial_id_to_study_id_and_number[trial_id]
                self._written[trial_id, study_id, number] = True
                self._lists.pop(study_id, None)
                trials = self._studies[study_id].trials
                trials[number] = _as_stored(trials[number])
            return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Optuna's."""
        with self._noting() as noted:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            if noted:
                held = stored_distribution(distribution_to_json(distribution))

                def note(trial: FrozenTrial) -> None:
                    trial.distributions[param_name] = held
                    trial.params[param_name] = held.to_external_repr(param_value_internal)

                self._note(trial_id, note)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Optuna's."""
        now = datetime.now()
        # A claim takes the lock of all processes: before that of all threads, as everybody does.
        claim = exclusive(self._database) if state == TrialState.RUNNING else nullcontext()
        with claim, self._noting() as noted:
            done = self._database.set_trial_state_values(trial_id, state, values, now=now)
            if noted and done:

                def note(trial: FrozenTrial) -> None:
                    trial.state = state
                    if values:
                        trial.values = [_number(value) for value in values]
                    if state == TrialState.RUNNING:
                        trial.datetime_start = _kept(now)
                    if state.is_finished():
                        trial.datetime_complete = _kept(now)

                self._note(trial_id, note)
            elif noted:
                self.forget()  # another process has it
            return done

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Optuna's."""
        with self._noting() as noted:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)
            if noted:
                value = _number(intermediate_value)
                self._note(trial_id, lambda trial: trial.intermediate_values.update({step: value}))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's."""
        self.set_attributes(trial_id, {key: value}, {})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Optuna's."""
        self.set_attributes(trial_id, {}, {key: value})

    def set_attributes(
        self, trial_id: int, user: Mapping[str, Any], system: Mapping[str, Any]
    ) -> None:
        """Many attributes of one trial in one statement each."""
        if not self._database.writes_rows:
            for key, value in system.items():
                super().set_trial_system_attr(trial_id, key, value)
            for key, value in user.items():
                super().set_trial_user_attr(trial_id, key, value)
            return
        texts = [{key: json.dumps(v) for key, v in held.items()} for held in (user, system)]
        with self._noting() as noted:
            self._database.set_attributes(trial_id, *texts)
            if noted:
                read = [{key: json.loads(v) for key, v in held.items()} for held in texts]

                def note(trial: FrozenTrial) -> None:
                    trial.user_attrs.update(read[0])
                    trial.system_attrs.update(read[1])

                self._note(trial_id, note)

    @contextmanager
    def _noting(self) -> Iterator[bool]:
        """Whether a write is to be noted; what fails is forgotten."""
        if not self._watched:
            yield False
            return
        with self._lock:
            try:
                yield True
            except BaseException:
                self.forget()
                raise
            if not self._together:
                self._written.clear()

    def _note(self, trial_id: int, change: Callable[[FrozenTrial], None]) -> None:
        place = self._trial_id_to_study_id_and_number.get(trial_id)
        if place is None:  # of a study that nobody has read
            return
        study_id, number = place
        trials = self._studies[study_id].trials
        if number in trials:
            # Not in place: lists that were handed out stay as they are.
            trials[number] = _copied(trials[number])
            change(trials[number])
            self._written.setdefault((trial_id, study_id, number), False)
            self._lists.pop(study_id, None)

    def forget(self) -> None:
        """What was written since the last commit may not be there: read it again."""
        for (trial_id, study_id, number), made in self._written.items():
            study = self._studies.get(study_id)
            if study is None:  # deleted
                continue
            study.unfinished_trial_ids.add(trial_id)
            # Else whoever asks for one that was noted as finished would get what was undone.
            study.trials.pop(number, None)
            if made:
                self._study_id_and_number_to_trial_id.pop((study_id, number), None)
                self._trial_id_to_study_id_and_number.pop(trial_id, None)
        if not self._together:  # else all of it may still be undone
            self._written.clear()
        self._seen.clear()
        self._lists.clear()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes inside the block is one transaction."""
        if not self._watched:
            yield
            return
        with self._lock:
            self._together, done = True, False
            try:
                yield
                done = True
            finally:
                self._together = False
                if not done:
                    self.forget()
            self._written.clear()


def _version_of(connection: PoolProxiedConnection) -> tuple[object, int]:
    cursor = connection.cursor()
    cursor.execute("PRAGMA data_version")
    row: Any = cursor.fetchone()
    cursor.close()
    return connection.info.setdefault("vaeopt", object()), row[0]


def _copied(trial: FrozenTrial) -> FrozenTrial:
    """With dictionaries of its own, which hold the same values."""
    found = copy.copy(trial)
    found.params, found.distributions = dict(trial.params), dict(trial.distributions)
    found.user_attrs, found.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    found.intermediate_values = dict(trial.intermediate_values)
    return found


def _given(trial: FrozenTrial) -> FrozenTrial:
    """For others, who may also change what its attributes hold."""
    found = _copied(trial)
    found.user_attrs = copy.deepcopy(found.user_attrs)
    found.system_attrs = copy.deepcopy(found.system_attrs)
    return found


def _as_stored(trial: FrozenTrial) -> FrozenTrial:
    """As the database would give it back: numbers and lists as JSON has them."""
    found = _copied(trial)
    kinds = {
        name: stored_distribution(distribution_to_json(kind))
        for name, kind in trial.distributions.items()
    }
    # By the kind that was given: its choices may be tuples, which come back as lists.
    places = {n: kind.to_internal_repr(trial.params[n]) for n, kind in trial.distributions.items()}
    found.params = {name: kinds[name].to_external_repr(places[name]) for name in kinds}
    found.distributions = kinds
    if trial.values:
        found.values = [_number(value) for value in trial.values]
    steps = trial.intermediate_values.items()
    found.intermediate_values = {step: _number(value) for step, value in steps}
    found.user_attrs = json.loads(json.dumps(trial.user_attrs))
    found.system_attrs = json.loads(json.dumps(trial.system_attrs))
    return found


def _number(value: float) -> float:
    """As SQLite gives it back, which knows no negative zero."""
    return float(value) + 0.0


def _kept(now: datetime) -> datetime | None:
    """A local time as it comes back from a database, which holds UTC."""
    return local(now.astimezone(UTC).replace(tzinfo=None))


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
    if isinstance(storage, CachedStorage):
        storage.set_attributes(trial_id, user, system or {})
        return
    for key, value in (system or {}).items():
        storage.set_trial_system_attr(trial_id, key, value)
    for key, value in user.items():
        storage.set_trial_user_attr(trial_id, key, value)
