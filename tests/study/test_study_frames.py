"""Results as tidy tables."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import ONE, contents, write_study
from vaeopt.core.errors import StudyError
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import best
from vaeopt.study.optimize import optimize
from vaeopt.study.results.records import FILES
from vaeopt.workflow.artefacts import MODEL

UNSCORABLE = '{ kind = "variance-product", minimum = 1e9 }'


def test_the_latents_of_a_trial_are_those_of_its_run(finished_folder: Path) -> None:
    before = contents(finished_folder)
    study = vo.load_study(finished_folder)
    for trial in study.trials:
        frame = vo.latents_frame(study, trial.number)
        run = vo.load_trial(finished_folder, trial.number)
        z, mixture = run.latents, run.mixture
        assert frame["trial"].eq(trial.number).all()
        assert frame["keypoint"].tolist() == list(range(len(z)))
        np.testing.assert_array_equal(frame[["y_px", "x_px"]], run.keypoints.yx_px)
        np.testing.assert_array_equal(frame[["z1", "z2"]], z.z_mean)
        np.testing.assert_array_equal(frame[["sd1", "sd2"]], z.z_std)
        for name, values in z.codes.items():
            np.testing.assert_array_equal(frame[name], values)
        np.testing.assert_array_equal(frame["error_nats"], z.error_nats)
        np.testing.assert_array_equal(frame["kept"], mixture.kept)
        np.testing.assert_array_equal(frame["core"], mixture.core)
        np.testing.assert_array_equal(frame["component"], mixture.component)
        np.testing.assert_array_equal(frame["responsibility"], mixture.responsibilities.max(axis=1))
        assert frame["y_nm"].isna().all(), "the size of a pixel is not known"
    assert {frame[c].dtype.name for c in ("trial", "keypoint", "component")} == {"int64"}
    assert {frame[c].dtype.name for c in ("kept", "core")} == {"bool"}
    assert contents(finished_folder) == before


def test_a_folder_a_file_and_a_study_give_the_same(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    frame = vo.latents_frame(study)
    assert frame["trial"].eq(best(study).number).all()
    for given in (finished_folder, str(finished_folder), open_study(finished_folder)):
        assert vo.latents_frame(given).equals(frame)
    assert vo.trials_frame(finished_folder).equals(vo.trials_frame(study))


def test_places_are_in_nm_where_a_pixel_has_a_size(tmp_path: Path) -> None:
    image = 'path = "image.npy"\npixel_size_nm = 2.5'
    study = optimize(write_study(tmp_path, rewards=ONE, n_trials=1, image=image))
    frame = vo.latents_frame(study, 0)
    np.testing.assert_allclose(frame["y_nm"], 2.5 * frame["y_px"])
    np.testing.assert_allclose(frame["x_nm"], 2.5 * frame["x_px"])


def test_a_study_of_optuna_alone_has_no_place_of_files(finished_folder: Path) -> None:
    url = f"sqlite:///{finished_folder}/tiny.db"
    study = optuna.load_study(study_name="tiny", storage=url)
    with pytest.raises(StudyError, match=r"nobody knows the study file .*; give the study folder"):
        vo.latents_frame(study)
    assert not vo.trials_frame(study).empty


def test_a_study_knows_its_storage(finished_folder: Path) -> None:
    with pytest.raises(StudyError, match="knows its storage"):
        vo.latents_frame(vo.load_study(finished_folder), storage="sqlite:///other.db")


def test_what_is_not_there_is_named(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    with pytest.raises(StudyError, match="no finished trial 99"):
        vo.latents_frame(study, 99)
    trial = study.trials[0]
    (finished_copy / "artefacts" / trial.user_attrs[FILES][MODEL]).unlink()
    with pytest.raises(StudyError, match=r"file model.safetensors of trial 0 is not in .*; put"):
        vo.latents_frame(study, 0)


def test_a_study_without_a_trial_has_the_same_columns(tmp_path: Path) -> None:
    frame = vo.trials_frame(optimize(write_study(tmp_path), timeout_s=1e-9))
    assert frame.empty
    assert list(frame.columns)[:6] == ["trial", "state", "feasible", "front", "fvu_core", "gain"]
    assert frame.query("state == 'complete' and not feasible").empty


def test_numbers_are_numbers_also_where_no_trial_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("no luck")

    monkeypatch.setattr("vaeopt.workflow.flow.encode", broken)
    folder = write_study(tmp_path)
    with pytest.raises(StudyError, match="5 trials failed"):
        optimize(folder)
    frame = vo.trials_frame(folder)
    assert frame["state"].eq("fail").all()
    names = ["fvu_core", "gain", "loss", "components"]
    assert {frame[name].dtype.name for name in names} == {"float64"}
    assert frame[names].isna().all(axis=None)
