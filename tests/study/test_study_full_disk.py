"""A full disk stops a study in one line; with room again it ends as one that always had room."""

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from tests.study.tiny import Halt, write_study
from vaeopt.cli import main
from vaeopt.study.artefacts.disk import NoRoomError, room_on_disk
from vaeopt.study.attributes import INTERRUPTED, SEED_NUMBER
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.results.records import ids_of
from vaeopt.study.storage import load_study

N = 4


@pytest.fixture(autouse=True, scope="module")
def quick() -> None:
    """Not here: a database that keeps its journal in memory does not survive a full disk."""


def _history(study: optuna.Study) -> list[Any]:
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return [(t.user_attrs[SEED_NUMBER], t.params, t.values) for t in done]


def _check(folder: Path, whole: list[Any]) -> None:
    """The study was cut off once, lost nothing, left nothing behind, and ends as it should."""
    with contextlib.closing(sqlite3.connect(folder / "tiny.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    before = load_study(open_study(folder)).get_trials(states=(TrialState.COMPLETE,))
    assert 0 < len(before) < N
    study = optimize(folder)
    assert _history(study) == whole
    assert {t.number for t in before} <= {t.number for t in study.get_trials()}
    others = [t for t in study.trials if t.state != TrialState.COMPLETE]
    assert all(t.user_attrs.get(INTERRUPTED) for t in others), "none failed for the disk's fault"
    named = {i for t in study.trials for i in ids_of(t)}
    assert {path.name for path in (folder / "artefacts").iterdir()} == named


@contextlib.contextmanager
def _no_more_pages(database: Path) -> Iterator[None]:
    """SQLite takes hardly a page more than it has now."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()

    def limit(connection: Any, record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", limit)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", limit)


@contextlib.contextmanager
def _small_files() -> Iterator[None]:
    """No file may grow beyond 8 kB: no file of a trial is written whole."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_database_that_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = write_study(tmp_path / "begun", n_trials=N)
    optimize(begun, n_trials=2)
    whole = _history(optimize(Path(shutil.copytree(begun, tmp_path / "whole"))))
    with _no_more_pages(begun / "tiny.db"):
        assert main(["optimize", str(begun), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "full" in said
    assert "make room" in said
    _check(begun, whole)


def test_files_that_find_no_room(tmp_path: Path) -> None:
    begun = write_study(tmp_path / "begun", n_trials=N)
    optimize(begun, n_trials=2)
    whole = _history(optimize(Path(shutil.copytree(begun, tmp_path / "whole"))))
    stack = contextlib.ExitStack()
    show = Halt(0, lambda: stack.enter_context(_small_files()))
    with stack, pytest.raises(NoRoomError, match="File too large"):
        optimize(begun, progress=show)
    _check(begun, whole)


def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    here, out = tmp_path / "small", tmp_path / "out"
    here.mkdir()
    command = [sys.executable, "-m", "tests.study.test_study_full_disk", str(here), str(out)]
    inside = ["unshare", "--mount", *command]
    try:
        done = subprocess.run(  # noqa: S603
            inside, capture_output=True, text=True, timeout=300, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if "unshare failed" in done.stderr or "MOUNT" in done.stdout:
        pytest.skip("file systems may not be mounted here")
    assert done.returncode == 0, done.stderr
    assert "make room" in done.stdout


def _fill_and_go_on(folder: Path) -> None:
    """Runs in a mount space of its own."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False).returncode:  # noqa: S603
        print("MOUNT refused")
        return
    begun = write_study(folder / "study", n_trials=N)
    optimize(begun, n_trials=2)
    whole = _history(optimize(Path(shutil.copytree(begun, folder / "whole"))))
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    try:
        optimize(begun)
    except NoRoomError as error:
        print(error)
    filler.unlink()
    _check(begun, whole)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), room_on_disk():
        raise ZeroDivisionError


if __name__ == "__main__":
    _fill_and_go_on(Path(sys.argv[1]))
