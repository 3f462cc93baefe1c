"""SQLite files: shared by processes, read where nothing may be written, on network file systems."""

import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages._rdb.storage import _VersionManager
from optuna.trial import TrialState

from tests.study.tiny import ONE, Direction, write_study
from vaeopt.core.errors import StudyError
from vaeopt.study.file import open_study
from vaeopt.study.optimize import create, optimize
from vaeopt.study.session import prepare
from vaeopt.study.storage import (
    NotOpenedError,
    create_or_load,
    exclusive,
    load_study,
    open_storage,
    sqlite,
)
from vaeopt.study.storage import journal as journal_module
from vaeopt.study.storage.journal import JournalFile


def _mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        mode: str = db.execute("PRAGMA journal_mode").fetchone()[0]
    return mode


def test_readers_and_a_writer_use_a_study_at_the_same_time(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    study = create_or_load(prepare(open_study(folder)), f"sqlite:///{tmp_path}/x.db")
    assert _mode(tmp_path / "x.db") == "wal"
    with closing(sqlite3.connect(tmp_path / "x.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE studies SET study_name = 'other'")
        assert study.trials == []
        assert load_study(open_study(folder), f"sqlite:///{tmp_path}/x.db").study_name == "tiny"


def test_every_commit_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    said: list[str] = []

    class Connection:
        def execute(self, query: str) -> None:
            said.append(query)

    monkeypatch.setattr(sqlite, "SYNCHRONOUS", "FULL")
    sqlite.pragmas(Connection(), None)  # type: ignore[arg-type]
    assert "PRAGMA synchronous = FULL" in said


def test_a_study_of_before_gets_its_log_and_keeps_its_trials(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    optimize(folder)
    with closing(sqlite3.connect(folder / "tiny.db")) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    assert len(optimize(folder, n_trials=2).trials) == 2
    assert _mode(folder / "tiny.db") == "wal"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sqlite, "_file_system", lambda path: "nfs4")
    sqlite.on_network.cache_clear()
    yield
    sqlite.on_network.cache_clear()


@pytest.mark.usefixtures("network")
def test_a_network_file_system_gets_no_log_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    with caplog.at_level(logging.WARNING):
        optimize(folder)
        optimize(folder, n_trials=2)
    assert _mode(folder / "tiny.db") == "delete"
    (warning,) = [record.message for record in caplog.records if "network" in record.message]
    assert "tiny.db is on a network file system (nfs4)" in warning
    assert "PostgreSQL" in warning


def test_this_file_system_has_a_name(tmp_path: Path) -> None:
    assert sqlite._file_system(tmp_path.resolve())


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the tests cannot take the permission away.
    monkeypatch.setattr("vaeopt.study.storage.sqlite.os.access", lambda path, mode: mode != os.W_OK)


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_study_is_read_where_nothing_may_be_written(mode: str, finished_copy: Path) -> None:
    with closing(sqlite3.connect(finished_copy / "tiny.db")) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
    before = sorted(finished_copy.iterdir())
    study = load_study(open_study(finished_copy))
    assert len(study.trials) > 0
    assert sorted(finished_copy.iterdir()) == before


@pytest.mark.usefixtures("read_only")
def test_what_a_killed_process_left_is_read_where_nothing_may_be_written(
    finished_copy: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    with closing(sqlite3.connect(finished_copy / "tiny.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE trials SET state = 'FAIL' WHERE number = 0")
        db.commit()
        shutil.copytree(finished_copy, killed)
    (killed / "tiny.db-shm").unlink()
    before = sorted(killed.iterdir())
    study = load_study(open_study(killed))
    assert study.trials[0].state == TrialState.FAIL, "it stands in the log alone"
    assert sorted(killed.iterdir()) == before


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_whose_creation_was_cut_off_is_adopted(kind: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else f"journal:///{tmp_path}/x.log"
    blank = optuna.create_study(
        study_name="tiny", storage=open_storage(url, create=True), directions=["minimize"]
    )
    with pytest.raises(StudyError, match="was not made by vaeopt"):
        load_study(open_study(folder), url)
    study = create_or_load(prepare(open_study(folder)), url)
    assert study._study_id == blank._study_id
    assert load_study(open_study(folder), url).metric_names == ["fvu_core"]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_with_other_directions_or_trials_is_not_adopted(kind: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    aims: list[tuple[Direction, int]] = [("maximize", 0), ("minimize", 1)]
    for number, (direction, trials) in enumerate(aims):
        end = "db" if kind == "sqlite" else "log"
        url = f"{kind}:///{tmp_path}/{number}.{end}"
        study = optuna.create_study(
            study_name="tiny", storage=open_storage(url, create=True), directions=[direction]
        )
        for _ in range(trials):
            study.ask()
        with pytest.raises(StudyError, match="was not made by vaeopt"):
            create_or_load(prepare(open_study(folder)), url)


def _claims(url: str, together: Any, outcome: Any) -> None:
    study = optuna.load_study(study_name="claimed", storage=open_storage(url))
    together.wait()
    claimed = []
    for trial in study.get_trials(states=(TrialState.WAITING,)):
        if study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
            claimed.append(trial.number)
    outcome.put(claimed)


def test_a_trial_that_waits_is_claimed_by_one_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    study = optuna.create_study(study_name="claimed", storage=open_storage(url, create=True))
    for place in range(20):
        study.enqueue_trial({"x": place})
    spawn = multiprocessing.get_context("spawn")
    together, outcome = spawn.Barrier(2), spawn.Queue()
    processes = [spawn.Process(target=_claims, args=(url, together, outcome)) for _ in range(2)]
    for process in processes:
        process.start()
    claimed = [number for _ in processes for number in outcome.get(timeout=300)]
    for process in processes:
        process.join()
    assert sorted(claimed) == list(range(20))


def test_a_journal_whose_last_line_was_cut_off_goes_on(tmp_path: Path) -> None:
    url = f"journal:///{tmp_path}/x.log"
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    optimize(folder, storage=url)
    with (tmp_path / "x.log").open("ab") as file:
        file.write(b'{"op_code":5,"wor')
    assert len(optimize(folder, n_trials=2, storage=url).trials) == 2
    for line in (tmp_path / "x.log").read_text().splitlines():
        json.loads(line)


def test_a_full_disk_leaves_no_half_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalFile(tmp_path / "x.log")
    journal.append_logs([{"op_code": 0}])
    whole = (tmp_path / "x.log").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append_logs([{"op_code": 1}])
    monkeypatch.undo()
    assert (tmp_path / "x.log").read_bytes() == whole
    journal.append_logs([{"op_code": 2}])
    assert [log["op_code"] for log in journal.read_logs(0)] == [0, 2]


def test_a_process_that_was_paused_within_a_write_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, other = JournalFile(tmp_path / "x.log"), JournalFile(tmp_path / "x.log")
    other._held.grace_period = 1
    ends = journal_module._end_of_lines

    def pause(file: Any) -> int:
        end = ends(file)
        monkeypatch.undo()
        other.append_logs([{"op_code": 0}, {"op_code": 1}])  # waits, and takes over
        return end

    monkeypatch.setattr(journal_module, "_end_of_lines", pause)
    paused.append_logs([{"op_code": 2}])
    other.append_logs([{"op_code": 3}])
    assert [log["op_code"] for log in other.read_logs(0)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "url", ["journal://", "journal:///no/such/folder/x.log", "grpc://127.0.0.1:1"]
)
def test_other_storages_that_do_not_open_say_so_in_one_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaeopt.study.storage.backends.CONNECT_S", 0.1)
    folder = write_study(tmp_path, rewards=ONE)
    for act in (optimize, lambda s, storage: load_study(open_study(s), storage)):
        with pytest.raises(StudyError) as caught:
            act(folder, storage=url)
        assert str(caught.value).startswith("optuna.storage: ")
        assert "\n" not in str(caught.value)


def test_creating_a_study_waits_once_for_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(url: str, **words: Any) -> Any:
        opened.append(url)
        return open_storage(url, **words)

    monkeypatch.setattr("vaeopt.study.storage.backends.CONNECT_S", 0.1)
    monkeypatch.setattr("vaeopt.study.storage.opening.open_storage", counted)
    with pytest.raises(NotOpenedError):
        create(write_study(tmp_path, rewards=ONE), storage="grpc://127.0.0.1:1")
    assert len(opened) == 1


def test_a_lock_within_a_lock_is_the_same_one(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/x.db", f"journal:///{tmp_path}/x.log"):
        first, second = open_storage(url, create=True), open_storage(url)
        with exclusive(first), exclusive(second), exclusive(first):
            assert optuna.get_all_study_names(second) == []


def test_tables_that_were_half_made_are_made_whole(tmp_path: Path) -> None:
    whole = write_study(tmp_path / "whole", rewards=ONE, n_trials=1)
    optimize(whole)
    with closing(sqlite3.connect(whole / "tiny.db")) as db:
        made = [row for (row,) in db.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]
    for count in range(1, len(made)):
        folder = write_study(tmp_path / str(count), rewards=ONE, n_trials=1)
        with closing(sqlite3.connect(folder / "tiny.db")) as db:
            for statement in made[:count]:
                db.execute(statement)
        assert len(optimize(folder).trials) == 1, f"killed behind {count} tables and indices"


def test_tables_are_not_there_until_the_last_row_is(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    optimize(folder)
    assert sqlite.holds_tables(folder / "tiny.db")
    with closing(sqlite3.connect(folder / "tiny.db")) as db, db:
        db.execute("DELETE FROM alembic_version")
    assert not sqlite.holds_tables(folder / "tiny.db")


def test_a_study_is_not_opened_while_another_one_still_makes_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = prepare(open_study(write_study(tmp_path, rewards=ONE)))
    url = f"sqlite:///{tmp_path}/x.db"
    fill = _VersionManager._set_alembic_revision
    others: list[threading.Thread] = []
    found: list[str] = []

    def come() -> None:
        found.append(create_or_load(session, url).study_name)

    def slow(manager: Any, revision: str) -> None:
        if others:
            raise AssertionError("the last row was written by one who came later")
        with closing(sqlite3.connect(tmp_path / "x.db")) as db:
            db.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        others.append(threading.Thread(target=come))
        others[0].start()
        others[0].join(1)
        fill(manager, revision)

    monkeypatch.setattr(_VersionManager, "_set_alembic_revision", slow)
    assert create_or_load(session, url).study_name == "tiny"
    others[0].join()
    assert found == ["tiny"]
