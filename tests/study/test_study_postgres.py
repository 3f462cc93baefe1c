"""A study on a real PostgreSQL server: shared, locked, restarted, and its password kept."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.postgres import PASSWORD, Postgres, running
from tests.study.tiny import ONE, Halt, points, write_study
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.session import prepare
from vaeopt.study.storage import (
    StorageError,
    backend_of,
    create_or_load,
    exclusive,
    load_study,
    open_storage,
    relational,
)

SPAWN = multiprocessing.get_context("spawn")


def _starts(folder: Path, url: str, together: Any, outcome: Any) -> None:
    together.wait()
    try:
        outcome.put(create_or_load(prepare(open_study(folder)), url).study_name)
    except Exception as error:
        outcome.put(repr(error))


def _first_starts(folder: Path, url: str, n: int) -> list[str]:
    together, outcome = SPAWN.Barrier(n), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=_starts, args=(folder, url, together, outcome)) for _ in range(n)
    ]
    for process in processes:
        process.start()
    found = [outcome.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return found


@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "journal"])
def test_processes_that_start_a_study_at_the_same_time_all_have_it(
    kind: str, tmp_path: Path, postgres_url: str
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    files = {"sqlite": f"sqlite:///{tmp_path}/x.db", "journal": f"journal:///{tmp_path}/x.log"}
    url = files.get(kind, postgres_url)
    assert _first_starts(folder, url, 4) == ["tiny"] * 4
    assert optuna.get_all_study_names(open_storage(url)) == ["tiny"]


def test_a_study_goes_on_while_its_server_is_restarted(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=3)
    with running() as server:
        url = server.database()

        def restart() -> None:
            time.sleep(1)
            server.start()

        restarted = threading.Thread(target=restart)

        def away() -> None:
            server.stop()
            restarted.start()

        study = optimize(folder, storage=url, progress=Halt(1, away))
        restarted.join()
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3


def test_a_server_that_stays_away_ends_the_study_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relational, "PATIENCE_S", 0.0)
    folder = write_study(tmp_path, rewards=ONE, n_trials=3)
    with running() as server:
        url = server.database()
        with pytest.raises(StorageError) as caught:
            optimize(folder, storage=url, progress=Halt(1, server.stop))
        assert "cannot be used now" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
        server.start()
        states = [trial.state.name for trial in optimize(folder, storage=url).trials]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT trials.",
        "INSERT INTO trials ",
        "INSERT INTO trial_params ",
        "UPDATE trials ",
        "SELECT pg_try_advisory_lock",
        "SELECT pg_advisory_unlock",
    ],
)
@pytest.mark.parametrize("duplicates", ["allow", "replicate"])
def test_a_study_goes_on_wherever_its_connection_is_cut(
    duplicates: str, statement: str, tmp_path: Path, postgres: Postgres
) -> None:
    pieces: dict[str, Any] = {"rewards": ONE, "optuna": f'duplicates = "{duplicates}"'}
    whole = optimize(write_study(tmp_path / "whole", **pieces)).trials
    url, cuts, wanted = postgres.database(), 0, False

    def begin() -> None:  # the second trial is training
        nonlocal wanted
        wanted = True

    def cut(connection: Any, cursor: Any, asked: str, *ignored: object) -> None:
        nonlocal cuts, wanted
        if not (wanted and asked.startswith(statement)):
            return
        wanted, cuts = False, cuts + 1
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'vaeopt' AND datname = current_database()"
            )

    event.listen(Engine, "before_cursor_execute", cut)
    try:
        folder = write_study(tmp_path / "cut", **pieces)
        study = optimize(folder, storage=url, progress=Halt(1, begin))
    finally:
        event.remove(Engine, "before_cursor_execute", cut)
    assert cuts == 1
    assert points(study.trials) == points(whole)


def _holds(url: str, ready: Any) -> None:
    with exclusive(open_storage(url)):
        ready.set()
        time.sleep(600)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, postgres_url: str) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    study = create_or_load(prepare(open_study(folder)), postgres_url)
    ready = SPAWN.Event()
    holder = SPAWN.Process(target=_holds, args=(postgres_url, ready))
    holder.start()
    assert ready.wait(120)
    entered = threading.Event()

    def enter() -> None:
        with exclusive(study._storage):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.5)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert entered.wait(60)
    waiting.join()
    holder.join()


def test_a_worker_takes_one_connection_also_under_the_lock(
    tmp_path: Path, postgres_url: str
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    create_or_load(prepare(open_study(folder)), postgres_url)
    study = load_study(open_study(folder), postgres_url)
    engine = backend_of(study._storage).engine  # type: ignore[attr-defined]
    with exclusive(study._storage):
        study.ask()
        assert len(study.get_trials(deepcopy=False)) == 1
        assert engine.pool.checkedout() == 1
        assert engine.pool.overflow() <= 0
        with exclusive(study._storage):  # within another one
            study.ask()
    assert engine.pool.checkedout() == 0


def test_a_lock_that_went_with_its_connection_is_missed(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    study = create_or_load(prepare(open_study(folder)), postgres_url)
    other = open_storage(postgres_url)

    def lose() -> None:
        with exclusive(study._storage):
            study.ask()
            with backend_of(other).engine.connect() as connection:  # type: ignore[attr-defined]
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                )
            study.ask()

    with pytest.raises(optuna.exceptions.StorageInternalError):
        lose()
    assert len(study.trials) == 1
