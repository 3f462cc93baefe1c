"""Reading a study back: tables, runs of trials, replays, exports."""

import json
import os
import re
import socket
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS, ONE, Halt, contents, ctrl_c, stripes, write_study
from vaeopt.cli import main
from vaeopt.core.errors import DataError, StudyError
from vaeopt.study.attributes import WORKER
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import best, feasible, finished, front, margin, pick
from vaeopt.study.optimize import optimize
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results.access import metric_names
from vaeopt.study.results.records import FILES, settings_of
from vaeopt.study.results.replay import Replay, replay
from vaeopt.study.results.status import status_lines
from vaeopt.study.session import prepare
from vaeopt.workflow import rewards_of
from vaeopt.workflow.artefacts import keypoint_table

HOST = socket.gethostname()


@pytest.fixture
def study(finished_folder: Path) -> optuna.Study:
    return vo.load_study(finished_folder)


def test_the_table_of_trials_says_what_the_trials_say(study: optuna.Study) -> None:
    frame = vo.trials_frame(study)
    assert frame["trial"].tolist() == [t.number for t in study.trials]
    assert frame["state"].tolist() == ["complete"] * N_TRIALS
    assert frame["feasible"].tolist() == [margin(t) <= 0 for t in study.trials]
    assert set(frame.loc[frame["front"], "trial"]) == {t.number for t in front(study)}
    for row, trial in zip(frame.to_dict("records"), study.trials, strict=True):
        assert [row["fvu_core"], row["gain"]] == trial.values
        assert {name: row[name] for name in trial.params} == trial.params
        assert row["seconds"] > 0
        assert bool(row["reason"]) == (margin(trial) > 0)


def test_the_table_of_trials_says_why_some_have_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, progress=Halt(0, ctrl_c))
    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.workflow.flow.encode", _broken)
        with pytest.raises(StudyError, match="5 trials failed in a row"):
            optimize(folder)
    study = optimize(folder, n_trials=1)
    study.ask()
    frame = vo.trials_frame(study)
    assert frame["state"].tolist() == ["fail"] * 6 + ["complete"]
    assert frame["reason"].tolist() == [""] + ["no luck"] * 5 + [""]
    assert frame["fvu_core"].isna().tolist() == [True] * 6 + [False]
    assert not frame["feasible"][:6].any()
    trials, worker, *_ = status_lines(study, 3)
    assert worker.startswith(f"worker    {HOST}:{os.getpid()}, trial 7 since ")
    assert trials == "trials    1 of 3 finished, 0 collapsed, 6 failed or interrupted, 1 running"


def _broken(*_: object, **__: object) -> object:
    raise RuntimeError("no luck")


def test_a_study_without_a_trial_has_an_empty_table(tmp_path: Path) -> None:
    study = optimize(write_study(tmp_path), timeout_s=1e-9)
    assert vo.trials_frame(study).empty
    assert status_lines(study, 3) == [
        "trials    0 of 3 finished, 0 collapsed, 0 failed or interrupted, 0 running",
        "workers   none",
    ]


def test_status_counts_and_names_the_best(study: optuna.Study) -> None:
    lines = status_lines(study, 10)
    collapsed = N_TRIALS - len(feasible(study))
    assert lines[0] == (
        f"trials    {N_TRIALS} of 10 finished, {collapsed} collapsed, "
        "0 failed or interrupted, 0 running"
    )
    assert lines[1] == "workers   none"
    assert lines[2].startswith("rate ")
    assert lines[3].startswith("time      nobody works on it; one worker would need about ")
    numbers = [int(line.split()[2].rstrip(":")) for line in lines[4:]]
    assert numbers == [t.number for t in front(study)][:5]


def test_workers_are_named_with_their_trials_and_time_that_overlaps_counts_once() -> None:
    study = optuna.create_study()
    start = datetime(2026, 1, 1, tzinfo=None)  # as optuna keeps it
    # Two of 60 s in the same minute, one alone behind it, and a pause between.
    for begins, ends in ((0, 30), (0, 60), (100, 160)):
        trial = optuna.trial.create_trial(value=1.0)
        trial.datetime_start = start + timedelta(seconds=begins)
        trial.datetime_complete = start + timedelta(seconds=ends)
        study.add_trial(trial)
    for name in (worker_name(), worker_name(), "elsewhere:7:1", f"{HOST}:1:1", None):
        asked = study.ask()
        if name is not None:
            asked.set_user_attr(WORKER, name)
    _, *workers, rate, time, _ = status_lines(study, 9)
    said = [re.sub(r"since [-\d]+ [:\d]+ \(\d s\), ", "", line) for line in workers]
    assert said == [
        f"worker    {HOST}:{os.getpid()}, trials 3-4 alive",
        "worker    elsewhere:7, trial 5 alive",
        f"worker    {HOST}:1, trial 6 gone: they will be run again",
        "worker    unknown, trial 7 alive",
    ]
    assert rate == "rate      90 trials per hour, 40.0 s per trial and worker (last 3)"
    assert time == "time      about 80 s left with 3 workers", "six trials are two rounds of three"


def test_metrics_without_names_are_numbered() -> None:
    assert metric_names(optuna.create_study(directions=["minimize"] * 2)) == ["value_0", "value_1"]


def test_a_trial_comes_back_without_training(
    finished_folder: Path, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaeopt.workflow.flow.train_groups", _broken)
    for trial in study.trials:
        run = vo.load_trial(finished_folder, trial.number)
        assert list(rewards_of(settings_of(trial), run).values()) == trial.values
        assert run.collapse.margin == margin(trial)
        assert run.patches.size_px == trial.params["patches.size_px"]
        assert len(run.latents) == len(run.keypoints) == len(keypoint_table(run))
    assert (
        vo.load_trial(finished_folder).seconds
        == vo.load_trial(finished_folder, best(study).number).seconds
    )


def test_a_study_of_a_gpu_can_be_read_without_one(finished_copy: Path) -> None:
    text = (finished_copy / "study.toml").read_text().replace('"cpu"', '"cuda:77"')
    (finished_copy / "study.toml").write_text(text)
    assert vo.load_trial(finished_copy, 0).patches
    assert main(["report", str(finished_copy)]) == 0


def test_reading_a_study_writes_nothing(finished_copy: Path) -> None:
    before = contents(finished_copy)
    vo.load_trial(finished_copy, 0)
    status_lines(vo.load_study(finished_copy), 3)
    prepare(open_study(finished_copy))
    assert contents(finished_copy) == before


def test_a_trial_without_its_files_is_refused(finished_copy: Path) -> None:
    for path in (finished_copy / "artefacts").iterdir():
        path.unlink()
    with pytest.raises(StudyError, match="put the artefacts back"):
        vo.load_trial(finished_copy, 0)


# NumPy leaves the file of a broken archive to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_trial_whose_files_are_cut_short_is_refused(finished_copy: Path) -> None:
    for path in (finished_copy / "artefacts").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        StudyError, match=r"the files of trial 0 in .* are damaged; put the artefacts"
    ):
        vo.load_trial(finished_copy, 0)


def test_a_trial_is_not_drawn_on_another_image(finished_copy: Path) -> None:
    np.save(finished_copy / "image.npy", stripes(seed=4))
    with pytest.raises(DataError, match="the image is not the one that this trial was run on"):
        vo.load_trial(finished_copy, 0)


def test_every_trial_repeats_exactly(finished_folder: Path, study: optuna.Study) -> None:
    session = prepare(open_study(finished_folder))
    for trial in finished(study):
        result = replay(study, session, trial)
        assert result.repeated == result.recorded
        assert list(result.recorded.values()) == trial.values
        assert result.differences(0.0) == {}


def test_a_retry_repeats_too(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, n_trials=1, progress=Halt(0, ctrl_c))
    study = optimize(folder, n_trials=1)
    result = replay(study, prepare(open_study(folder)), pick(study, "1"))
    assert result.repeated == result.recorded


def test_lost_files_are_made_again_as_they_were(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = vo.load_study(finished_copy)
    lost = [finished_copy / "artefacts" / i for i in pick(study, "1").user_attrs[FILES].values()]
    were = {path: path.read_bytes() for path in lost}
    for path in lost:
        path.unlink()
    words = ["replay", str(finished_copy), "--trial", "1"]
    assert main(words) == 0
    assert not any(path.exists() for path in lost)  # only where it was asked for
    assert main([*words, "--restore"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "trial 1 repeats, and its files are written again"
    assert {path: path.read_bytes() for path in lost} == were
    assert vo.load_trial(finished_copy, 1).latents.z_mean.shape[1] >= 1


def test_differences_are_relative() -> None:
    result = Replay(0, {"a": 100.0, "b": 0.0, "c": -2.0}, {"a": 100.1, "b": 0.0, "c": -2.0})
    assert result.differences(1e-2) == {}
    assert result.differences(1e-4) == {"a": pytest.approx(1e-3)}
    assert Replay(0, {"a": 0.0}, {"a": 1e-3}).differences(1e-6) == {"a": pytest.approx(1e9)}


def test_a_tampered_value_does_not_repeat(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["replay", str(finished_copy), "--trial", "1"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out.endswith("trial 1 repeats\n")
    assert err == ""
    with closing(sqlite3.connect(finished_copy / "tiny.db")) as database:
        database.execute(
            "UPDATE trial_values SET value = value + 0.001 WHERE objective = 0 AND trial_id = "
            "(SELECT trial_id FROM trials WHERE number = 1)"
        )
        database.commit()
    assert main(command) == 1
    assert capsys.readouterr().err == "vaeopt: trial 1 does not repeat: fvu_core differ\n"
    assert main([*command, "--tolerance", "0.1"]) == 0


def test_a_trial_of_a_changed_study_is_not_replayed(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (finished_copy / "study.toml").read_text().replace("width = 8", "width = 9")
    (finished_copy / "study.toml").write_text(text)
    assert main(["replay", str(finished_copy), "--trial", "0"]) == 2
    assert "workflow.vae.width: was 8, is 9" in capsys.readouterr().err


def test_an_export_is_the_trial(finished_folder: Path, study: optuna.Study, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "down"
    trial = best(study)
    assert main(["export", str(finished_folder), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "keypoints.csv",
        "model.safetensors",
        "trial.json",
    ]
    run = vo.load_trial(finished_folder, trial.number)
    table = pd.read_csv(out / "keypoints.csv")
    fixed = ["row_px", "col_px", "kept", "component", "probability", "core"]
    assert table.columns.tolist()[:8] == [*fixed, "z1", "z2"]
    assert set(table.columns[8:]) >= {"angle_deg", "shift_row_px", "shift_col_px", "error_nats"}
    np.testing.assert_array_equal(table[["row_px", "col_px"]], run.keypoints.yx_px)
    np.testing.assert_array_equal(table["component"], run.mixture.component)
    np.testing.assert_array_equal(table["kept"], run.mixture.kept)
    np.testing.assert_array_equal(table["core"], run.mixture.core)
    np.testing.assert_allclose(table[["z1", "z2"]], run.latents.z_mean, rtol=1e-12)
    record = json.loads((out / "trial.json").read_text())
    assert record["trial"] == trial.number
    assert list(record["values"].values()) == trial.values
    assert record["parameters"] == trial.params
    assert record["feasible"] is True
    assert record["identity"] == study.user_attrs["vaeopt:identity"]
    assert record["directions"] == ["minimize", "maximize"]


def test_an_exported_model_is_ready_for_use(finished_folder: Path, tmp_path: Path) -> None:
    assert main(["export", str(finished_folder), "--trial", "2", "--out", str(tmp_path)]) == 0
    vae = vo.load_vae(tmp_path / "model.safetensors")
    run = vo.load_trial(finished_folder, 2)
    latents = vo.encode(vae, run.patches, core_px=run.comparison.core_px)
    np.testing.assert_array_equal(latents.z_mean, run.latents.z_mean)
    assert vo.decode(vae, latents).shape == run.patches.pixels.shape
    assert vae.pixel_scaling == run.micrograph.scaling


def test_a_collapsed_trial_can_be_exported(
    finished_folder: Path, study: optuna.Study, tmp_path: Path
) -> None:
    number = next(t.number for t in study.trials if margin(t) > 0)
    assert (
        main(["export", str(finished_folder), "--trial", str(number), "--out", str(tmp_path)]) == 0
    )
    assert json.loads((tmp_path / "trial.json").read_text())["feasible"] is False


def test_one_run_needs_no_optuna(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    before = contents(tmp_path)
    epochs: list[int] = []

    class Count(Halt):
        def epoch(self, epoch: int, epochs_: int, loss_nats: float) -> None:
            epochs.append(epoch)

    run = vo.run(folder, overrides=["patches.size_px=7"], progress=Count(-1, ctrl_c))
    assert run.patches.size_px == 7
    assert epochs == [1, 2]
    assert contents(tmp_path) == before
