"""What belongs to another study is refused by name, and left as it was to the last byte."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest

from tests.study.tiny import N_TRIALS, ONE, TWO, contents, stripes, write_study
from vaeopt.cli import main
from vaeopt.core.errors import StudyError
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.storage import load_study, shown_url, storage_url


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "study.toml").read_text()
        assert old in text
        (folder / "study.toml").write_text(text.replace(old, new))

    return change


def another_image(folder: Path) -> None:
    np.save(folder / "image.npy", stripes(seed=1))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (another_image, "image_sha256"),
        (replaced('path = "image.npy"', 'path = "image.npy"\nclip_percentiles = [2, 95]'), "image"),
        (replaced("width = 8", "width = 9"), "workflow.vae.width: was 8, is 9"),
        (replaced("epochs = 2", "epochs = 3"), "workflow.vae.epochs: was 2, is 3"),
        (replaced("spacing_px = 6", "spacing_px = 5"), "workflow.keypoints.spacing_px"),
        (replaced("high = 7", "high = 9"), "search.patches.size_px.high: was 7, is 9"),
        (replaced('"patches.size_px" = {', '"vae.batch_size" = {'), "search.patches.size_px"),
        (replaced('["rotation"],', '["scale"],'), "search.vae.invariances.choices"),
        (replaced("seed = 0", "seed = 1"), "seed: was 0, is 1"),
        (replaced('"grid" }\nn_trials', '"random" }\nn_trials'), "sampler.kind"),
        (
            replaced('kind = "grid" }\nn', 'kind = "grid", order_seed = 1 }\nn'),
            "sampler.order_seed",
        ),
        (replaced(TWO, '[ "gain", "reconstruction" ]'), "directions of the rewards"),
        (replaced(TWO, ONE), "workflow.rewards"),
        (replaced(TWO, '[ "reconstruction", { kind = "gain", weight = 2 } ]'), "workflow.rewards"),
    ],
)
def test_a_changed_study_is_refused_by_name_and_not_touched(
    change: Callable[[Path], None],
    named: str,
    finished_copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(finished_copy)
    before = contents(finished_copy)
    assert main(["optimize", str(finished_copy), "--n-trials", str(N_TRIALS + 1)]) == 2
    head, *lines = capsys.readouterr().err.splitlines()
    assert head.startswith("vaeopt: name: study 'tiny' was started with other settings; ")
    assert any(line.startswith(f"vaeopt: {named}") for line in lines)
    assert contents(finished_copy) == before


def test_what_may_change_does_not_stop_a_study(finished_copy: Path) -> None:
    replaced("n_trials = 6", "n_trials = 7\ntimeout_s = 100.0")(finished_copy)
    replaced('device = "cpu"', 'device = "auto"')(finished_copy)
    moved = finished_copy.rename(finished_copy.with_name("moved"))
    assert len(optimize(moved).trials) == 7


def test_going_on_with_a_finished_study_changes_nothing(finished_copy: Path) -> None:
    before = contents(finished_copy)
    optimize(finished_copy)
    assert contents(finished_copy) == before


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (cake TEXT)")
        database.commit()


def some_text(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one " * 20)


def plain_optuna(path: Path) -> None:
    study = optuna.create_study(
        study_name="tiny", storage=f"sqlite:///{path}", directions=["minimize", "maximize"]
    )
    study.ask()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_tables, "is a database of something else (tables recipes)"),
        (some_text, "is not a study database"),
        (plain_optuna, "study 'tiny' in sqlite:///{path} was not made by vaeopt"),
        (Path.mkdir, "is not a study database"),
    ],
)
def test_a_file_of_something_else_is_refused_and_not_touched(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "s")
    path = tmp_path / "s" / "tiny.db"
    make(path)
    before = contents(tmp_path)
    for act in (optimize, lambda study: load_study(open_study(study))):
        with pytest.raises(StudyError) as caught:
            act(folder)
        assert message.format(path=path) in str(caught.value)
        assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///{place}/no/such/folder/x.db", "of the storage does not exist"),
        ("{place}/x.db", "is not a URL; write sqlite:///"),
        ("sqlite://", "a study needs a SQLite file"),
        ("sqlite:///:memory:", "a study needs a SQLite file"),
        ("://", "the storage URL cannot be read"),
        ("nosuchbase://me:secret@localhost/x", "nosuchbase://me:***@localhost/x cannot be opened"),
        ("postgresql+nodriver://localhost/x", "cannot be opened"),
        ("postgresql://localhost:1/x", "cannot be opened"),  # no driver, or no server
        ("postgresql://me:secret@localhost:port/x", "the storage URL cannot be read"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_in_one_line(
    url: str, message: str, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "s")
    before = contents(tmp_path)
    for act in (optimize, lambda s, storage: load_study(open_study(s), storage)):
        with pytest.raises(StudyError) as caught:
            act(folder, storage=url.format(place=tmp_path))
        assert message in str(caught.value)
        assert str(caught.value).startswith("optuna.storage: ")
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_an_unknown_driver_of_sqlite_leaves_no_file(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s")
    before = contents(tmp_path)
    with pytest.raises(StudyError, match="cannot be opened"):
        optimize(folder, storage=f"sqlite+nothing:///{tmp_path}/x.db")
    assert contents(tmp_path) == before


def test_looking_at_a_study_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", name="absent")
    before = contents(tmp_path)
    with pytest.raises(StudyError, match=r"no study 'absent' in .* yet; make it"):
        load_study(open_study(folder))
    assert contents(tmp_path) == before


def test_a_database_of_other_studies_does_not_have_this_one(finished_copy: Path) -> None:
    replaced('name = "tiny"', 'name = "new"')(finished_copy)
    shutil.move(finished_copy / "tiny.db", finished_copy / "new.db")
    before = contents(finished_copy)
    with pytest.raises(StudyError, match="no study 'new'"):
        load_study(open_study(finished_copy))
    assert contents(finished_copy) == before


def test_an_empty_file_may_become_a_study(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    (folder / "tiny.db").touch()
    with pytest.raises(StudyError, match="no study 'tiny'"):
        load_study(open_study(folder))
    assert len(optimize(folder, n_trials=1).trials) == 1


@pytest.mark.parametrize("name", ["a b", "a?b", "a%20b", "a#b", "ü", "a&b=c"])
def test_a_folder_may_be_called_anything(name: str, tmp_path: Path) -> None:
    folder = write_study(tmp_path / name, rewards=ONE, n_trials=1)
    optimize(folder)
    assert (folder / "tiny.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(load_study(open_study(folder)).trials) == 1


def test_the_command_line_wins_over_the_file_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_study(write_study(tmp_path))
    (tmp_path / "study.toml").write_text(
        (tmp_path / "study.toml").read_text() + 'storage = "sqlite:///file.db"\n'
    )
    given = open_study(tmp_path)
    assert storage_url(plain) == f"sqlite:///{tmp_path}/tiny.db"
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///env.db")
    assert storage_url(plain) == "sqlite:///env.db"
    assert storage_url(given) == "sqlite:///file.db"
    assert storage_url(given, "sqlite:///line.db") == "sqlite:///line.db"
    monkeypatch.setenv("OPTUNA_STORAGE", "")
    assert storage_url(plain) == f"sqlite:///{tmp_path}/tiny.db", "empty is as good as unset"
    with pytest.raises(StudyError, match=r"optuna\.storage: the storage URL is empty; give one"):
        storage_url(plain, "")


def test_passwords_are_not_shown() -> None:
    assert shown_url("postgresql://me:secret@host/x") == "postgresql://me:***@host/x"
    assert "secret" not in shown_url("postgresql://me:secret@host:port/x")
    assert "secret" not in shown_url("no url: secret")
