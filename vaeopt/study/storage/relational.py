"""Optuna's database, for many workers, and for a server that is away for a while."""

import functools
import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from vaeopt.study.storage.away import StorageError, away, was_lost
from vaeopt.study.storage.exclusive import exclusive
from vaeopt.study.storage.rows import RowStorage
from vaeopt.study.storage.sessions import is_shared

__all__ = ["Relational"]

_log = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""how long a server may be away in the middle of a study"""
PAUSE_S = 1.0

# Optuna's cache calls these; what they write is the same when it is written again.
_REPEATABLE = (
    "get_all_studies",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "set_attributes",
    "record_heartbeat",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "_get_best_trial_id",
    "_get_trials",
    "_set_trial_param",
)
_ONCE = ("create_new_study", "_create_new_trial")


class Relational(RowStorage):
    """A database that waits for its server, and in which no trial is claimed twice.

    A connection that was lost while nothing was asked of it is made anew; while the server is away,
    everything waits for it. What was asked for in the moment of the loss is asked for again where
    the answer is the same, but neither under a lock nor within a
    transaction, which went with the connection: then whoever wanted it does all of it again.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any], *, create: bool) -> None:
        # Optuna fills in its version at {SCHEMA_VERSION}; a folder may be called anything.
        literal = url.replace("{", "{{").replace("}", "}}")
        super().__init__(literal, engine_kwargs, skip_table_creation=not create)
        self._given_up = False
        if self.engine.name != "sqlite":
            sqlalchemy.event.listen(self.engine, "do_connect", self._connect)

    def _connect(self, dialect: Any, record: object, arguments: Any, words: Any) -> Any:
        """Connect, now or as soon as the server is there again."""
        until = time.monotonic() + (0 if self._given_up else PATIENCE_S)
        told = False
        while True:
            try:
                connection = dialect.connect(*arguments, **words)
            except dialect.loaded_dbapi.OperationalError as error:
                if time.monotonic() >= until:
                    self._given_up = True  # the next call does not wait as long again
                    raise
                if not told:
                    _log.warning("%s; waiting up to %.0f s", away(self.engine, error), PATIENCE_S)
                    told = True
                time.sleep(PAUSE_S)
            else:
                self._given_up = False
                return connection

    def set_trial_state_values(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None = None,
        *,
        now: datetime | None = None,
    ) -> bool:
        """Optuna's, which lets two processes claim one trial on SQLite."""
        call = functools.partial(
            RowStorage.set_trial_state_values, self, trial_id, state, values, now=now
        )
        if state != TrialState.RUNNING:
            return bool(self._ask(functools.partial(self._told, call, trial_id, state, values)))
        with exclusive(self):
            return bool(self._ask(call, again=False))

    def _told(
        self,
        tell: Callable[[], bool],
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> bool:
        try:
            return tell()
        except StorageInternalError as error:
            if was_lost(error.__cause__):  # after it was written, or before?
                there = RowStorage.get_trial(self, trial_id)
                if there.state == state and there.values == (values and list(values)):
                    return True
            raise

    def silent_s(self, trial_ids: Collection[int]) -> dict[int, float]:
        """Seconds since the last heartbeat, by the clock of the database; none without any."""
        return dict(self._ask(functools.partial(self._silent_s, trial_ids)))

    def _silent_s(self, trial_ids: Collection[int]) -> dict[int, float]:
        heartbeat = models.TrialHeartbeatModel
        with _create_scoped_session(self.scoped_session) as session:
            now = session.execute(sqlalchemy.select(sqlalchemy.func.now())).scalar_one()
            rows = session.query(heartbeat.trial_id, heartbeat.heartbeat).filter(
                heartbeat.trial_id.in_(trial_ids)
            )
            # Only the server's clock carries a time zone; connections are set to UTC.
            return {i: (now.replace(tzinfo=None) - at).total_seconds() for i, at in rows}

    def _ask(self, call: Callable[[], Any], *, again: bool = True) -> Any:
        try:
            return call()
        except StorageError:
            raise
        except StorageInternalError as error:
            session = self.scoped_session()
            alone = session.bind is self.engine and not is_shared(session)
            if again and was_lost(error.__cause__) and alone:
                return self._ask(call, again=False)
            if isinstance(error.__cause__, DBAPIError | PendingRollbackError):
                raise away(self.engine, error.__cause__) from error
            raise


def _asked(name: str, again: bool) -> Callable[..., Any]:
    method = getattr(RowStorage, name)

    @functools.wraps(method)
    def asked(self: Relational, *arguments: Any, **words: Any) -> Any:
        call = functools.partial(getattr(RowStorage, name), self, *arguments, **words)
        return self._ask(call, again=again)

    return asked


for _name in (*_REPEATABLE, *_ONCE):
    setattr(Relational, _name, _asked(_name, _name in _REPEATABLE))
