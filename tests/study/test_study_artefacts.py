"""Files of trials: in a folder or a bucket, whole or not at all, and never in a trial's way."""

import contextlib
import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.bucket import Server
from tests.bucket import bucket as bucket
from tests.study.tiny import Halt, ctrl_c, points, write_study
from vaeopt.cli import main
from vaeopt.core.errors import StudyError
from vaeopt.study.artefacts import sending
from vaeopt.study.artefacts.bucket import Bucket
from vaeopt.study.artefacts.places import place_of
from vaeopt.study.artefacts.store import Artefacts, artefacts_of
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results.access import load_study, load_trial
from vaeopt.study.results.records import FILES, without_files
from vaeopt.study.results.status import status_lines


def _with(folder: Path, url: str) -> Path:
    made = write_study(folder, n_trials=2)
    text = (made / "study.toml").read_text()
    (made / "study.toml").write_text(text + f'artefacts = "{url}"\n')
    return made


def _ids(study: optuna.Study) -> list[str]:
    return sorted(i for trial in study.trials for i in trial.user_attrs.get(FILES, {}).values())


def test_files_stay_in_the_folder_that_is_named(tmp_path: Path) -> None:
    place = tmp_path / "else where"
    folder = _with(tmp_path / "study", place.as_uri())
    study = optimize(folder)
    assert sorted(path.name for path in place.iterdir()) == _ids(study)
    assert not (folder / "artefacts").exists()
    assert load_trial(folder, 1).latents.z_mean.shape[0] > 0


def test_files_go_to_the_bucket_and_come_back(
    tmp_path: Path, bucket: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _with(tmp_path, bucket.url)
    study = optimize(folder)
    assert bucket.keys() == [f"of/trials/{i}" for i in _ids(study)]
    assert list((folder / "artefacts").iterdir()) == []
    assert load_trial(folder, 0).latents.z_mean.shape[0] > 0
    assert main(["export", str(folder), "--trial", "0", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "keypoints.csv").exists()
    assert without_files(study.trials, artefacts_of(open_study(folder))) == []
    assert main(["status", str(folder)]) == 0
    assert "missing" not in capsys.readouterr().out


def test_what_a_process_left_behind_is_sent_by_the_next(
    tmp_path: Path, bucket: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _with(tmp_path, bucket.url)

    def refused(*_: Any) -> None:
        raise StudyError("no answer")

    notes = Halt(99, ctrl_c)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "write", refused)
        patch.setattr(sending, "_PATIENCE_S", 0.1)
        study = optimize(folder, n_trials=1, progress=notes)
    assert [t.state.name for t in study.trials] == ["COMPLETE"]
    assert any("no answer" in note for note in notes.notes)
    assert "stay in" in notes.notes[-1]
    assert bucket.keys() == []
    assert load_trial(folder, 0).latents.z_mean.shape[0] > 0, "read from where they wait"
    study = optimize(folder, n_trials=1)
    assert bucket.keys() == [f"of/trials/{i}" for i in _ids(study)]


def test_a_bucket_that_is_slow_keeps_no_trial_waiting(
    tmp_path: Path, bucket: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, told = _with(tmp_path, bucket.url), threading.Event()
    write = Bucket.write

    class Show(Halt):
        def trial_done(self, study: optuna.Study, trial: Any) -> None:
            super().trial_done(study, trial)
            if len(self.states) == 2:
                told.set()

    def slow(self: Bucket, artifact_id: str, body: Any) -> None:
        assert told.wait(60), "the second trial waits for the files of the first"
        write(self, artifact_id, body)

    monkeypatch.setattr(Bucket, "write", slow)
    study = optimize(folder, progress=Show(99, ctrl_c))
    assert bucket.keys() == [f"of/trials/{i}" for i in _ids(study)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("s3://files", "s3://nowhere"), "no such bucket"),
        (lambda url: url.replace("127.0.0.1", "127.0.0.1:1@"), "password"),
        (lambda url: "s3://files?endpoint_url=http://127.0.0.1:1&region=x", "127.0.0.1:1"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_named_before_any_training(
    change: Any,
    words: str,
    tmp_path: Path,
    bucket: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = _with(tmp_path, change(bucket.url))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(["optimize", str(folder)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "optuna.artefacts" in said
    assert words in said
    assert not (folder / "tiny.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "s3://name:secret@bucket/x",
        "s3://bucket?endpoint_url=http://name:secret@host:9000",
        "s3://bucket?aws_secret_access_key=secret",
        "s3://bucket?endpoint_url",
        "http://secret",
        "file://secret/x",
        "/secret",
    ],
)
def test_no_secret_is_taken_or_repeated(url: str) -> None:
    with pytest.raises(StudyError) as caught:
        place_of(url)
    assert "secret" not in str(caught.value)


def test_the_environment_names_the_place_where_the_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAEOPT_ARTEFACTS", "file:///from/environment")
    plain = open_study(write_study(tmp_path / "plain"))
    assert artefacts_of(plain).folder == Path("/from/environment")
    own = open_study(_with(tmp_path / "own", "file:///from/file"))
    assert artefacts_of(own).folder == Path("/from/file")


def test_an_id_leads_to_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    store = Artefacts(tmp_path / "store")
    for artifact_id in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(ValueError, match="no id"):
            store.open_reader(artifact_id)


def test_files_that_the_dashboard_adds_go_where_all_go(tmp_path: Path, bucket: Server) -> None:
    store = artefacts_of(open_study(_with(tmp_path, bucket.url)))
    store.write("one", io.BytesIO(b"added"))
    assert bucket.keys() == ["of/trials/one"]
    with contextlib.closing(store.open_reader("one")) as file:
        assert file.read() == b"added"
    store.remove("one")
    with pytest.raises(optuna.artifacts.exceptions.ArtifactNotFound):
        store.open_reader("one")


def test_what_killed_processes_had_half_written_is_swept(tmp_path: Path) -> None:
    store = Artefacts(tmp_path)
    host, pid, _ = worker_name().rsplit(":", 2)
    (tmp_path / f".unfinished-{host}:{pid}:1-abc").mkdir()
    with store.unfinished() as mine:
        store.prepare()
        assert mine.exists()
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert list(tmp_path.iterdir()) == []


def test_trials_whose_files_are_gone_or_cut_short_are_named(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_study(finished_copy)
    folder = finished_copy / "artefacts"
    ids = [trial.user_attrs[FILES]["latents.npz"] for trial in study.trials]
    (folder / ids[1]).unlink()
    os.truncate(folder / ids[4], 100)
    store = artefacts_of(open_study(finished_copy))
    assert without_files(study.trials, store) == [1, 4]
    assert main(["status", str(finished_copy)]) == 0
    assert "files     missing or cut short: trials 1, 4" in capsys.readouterr().out
    with pytest.raises(StudyError, match=r"trial 1 is not in .*replay"):
        load_trial(finished_copy, 1)
    with pytest.raises(StudyError, match=r"trial 4 .* damaged.*replay"):
        load_trial(finished_copy, 4)
    shutil.rmtree(folder)
    assert without_files(study.trials, store) == [t.number for t in study.trials]
    assert not any("missing" in line for line in status_lines(study, 6))


def test_a_trial_that_fails_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, n_trials=1)

    def broken(*_: Any) -> None:
        raise FloatingPointError("behind the files")

    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.study.tell.set_constraint", broken)
        with pytest.raises(StudyError, match="failed in a row"):
            optimize(folder)
    assert list((folder / "artefacts").iterdir()) == []
    failed = load_study(folder).trials[0]
    assert FILES not in failed.user_attrs, "all or nothing"
    assert points(optimize(folder).trials)
