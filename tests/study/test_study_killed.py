"""A process that is killed between any two writes to the storage leaves a study that goes on."""

import contextlib
import functools
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.study.test_study_batches import (
    REAL,
    SAMPLERS,
    Loop,
    _history,
    quick_loop,  # noqa: F401  # a fixture
)
from tests.study.tiny import ONE, Halt, ctrl_c, write_study
from vaeopt.study import optimize as loop
from vaeopt.study import resume
from vaeopt.study.asking import ask, draw, points
from vaeopt.study.attributes import INTERRUPTED, SEED_NUMBER
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.processes.process import worker_name
from vaeopt.study.storage import load_study
from vaeopt.study.storage.rows import RowStorage

TWO_POINTS = '"vae.invariances" = { choices = [[], ["rotation"]] }'
WRITES = ("_create_new_trial", "set_trial_state_values", "set_attributes", "_set_trial_param")


class _Killed(BaseException):
    """Nothing runs after it: no handler of a dead process does."""


def _optimize_until_killed(folder: Path, at: int) -> bool:
    """Whether the process lived until this many writes were done; then it is gone."""
    left = iter(range(at))

    def dying(write: Any) -> Any:
        @functools.wraps(write)
        def written(*args: Any, **words: Any) -> Any:
            if next(left, None) is None:
                raise _Killed
            return write(*args, **words)

        return written

    host, pid, _ = worker_name().rsplit(":", 2)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(RowStorage, name, dying(getattr(RowStorage, name)))
        patch.setattr(loop, "resumable", lambda study: contextlib.nullcontext())
        for module in (ask, draw, points, resume):  # a process number that was used before
            patch.setattr(module, "worker_name", lambda: f"{host}:{pid}:1")
        try:
            optimize(folder)
        except _Killed:
            return True
    return False


# As many trials as there may be: repeats are averaged, and refused after the third.
TWICE = {"search": TWO_POINTS, "optuna": 'duplicates = "replicate"'}


@pytest.mark.parametrize(
    ("kind", "at_once", "space"),
    [
        ("tpe", 1, {"search": REAL}),
        ("nsga2", 3, {"search": REAL}),
        ("tpe", 1, TWICE),
    ],
    ids=["tpe", "nsga2 at once", "replicate"],
)
def test_a_study_that_was_killed_between_two_writes_ends_as_one_that_was_not(
    kind: str,
    at_once: int,
    space: dict[str, str],
    tmp_path: Path,
    quick_loop: Loop,  # noqa: F811
) -> None:
    pieces = {"sampler": SAMPLERS[kind], "n_trials": 6, "at_once": at_once, **space}
    begun = write_study(tmp_path / "begun", **pieces)
    optimize(begun, n_trials=3)
    whole = _history(optimize(Path(shutil.copytree(begun, tmp_path / "whole"))))
    for at in range(12):  # three trials are told after 12 or more
        cut = Path(shutil.copytree(begun, tmp_path / f"cut-{at}"))
        assert _optimize_until_killed(cut, at)
        study = optimize(cut)
        assert _history(study) == whole, f"killed after {at} writes"
        assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))


def test_a_trial_that_a_user_has_queued_is_not_given_up(
    tmp_path: Path,
    quick_loop: Loop,  # noqa: F811
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    study = optimize(folder, n_trials=1)
    study.enqueue_trial({"patches.size_px": 7, "vae.invariances": "rotation"})
    assert _optimize_until_killed(folder, 1), "it was signed, and that was all"
    last = optimize(folder).trials[-1]
    assert last.number == 1
    assert last.params == {"patches.size_px": 7, "vae.invariances": "rotation"}


def test_seeds_that_another_process_has_drawn_are_not_drawn_again(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    study = optimize(folder)
    study.sampler = optuna.samplers.RandomSampler()  # signs nothing
    lost = study.ask()
    other = optuna.trial.create_trial(
        state=TrialState.FAIL, user_attrs={SEED_NUMBER: 2}
    )  # drawn while the one before was there
    study.add_trial(other)
    lost.set_user_attr(INTERRUPTED, True)
    study.tell(lost, state=TrialState.FAIL)
    assert optimize(folder, n_trials=2).trials[-1].user_attrs[SEED_NUMBER] == 3


def test_a_database_that_was_half_written_is_repaired(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", rewards=ONE, n_trials=1)
    optimize(folder)
    killed = tmp_path / "killed"
    with contextlib.closing(sqlite3.connect(folder / "tiny.db")) as db:
        db.execute("PRAGMA journal_mode = DELETE")  # as on a network file system
        db.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE studies SET study_name = 'half'")
        for key in range(200):
            db.execute(
                "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)",
                (f"k{key}", '"' + 1000 * "x" + '"'),
            )
        shutil.copytree(folder, killed)
    assert (killed / "tiny.db-journal").stat().st_size > 0
    study = load_study(open_study(killed))
    assert study.study_name == "tiny"
    assert len(optimize(killed, n_trials=2).trials) == 2


def test_a_signal_that_leaves_the_database_locked_ends_the_study_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)

    def locked(*_: Any) -> None:
        raise optuna.exceptions.StorageInternalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "_cut_off", locked)
        with pytest.raises(KeyboardInterrupt):
            optimize(folder, progress=Halt(1, ctrl_c))
    study = optimize(folder)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs[INTERRUPTED] is True
