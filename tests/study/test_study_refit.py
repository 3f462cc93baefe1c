"""Stored runs fitted again with other settings, and copies that a process did not finish."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS
from vaeopt.core.errors import StudyError, VaeoptError
from vaeopt.study.file import open_study
from vaeopt.study.results.access import trials_frame
from vaeopt.study.results.records import restore, seeds_of, settings_of
from vaeopt.study.results.rescore import rescore
from vaeopt.study.results.stored import RESCORED
from vaeopt.study.session import prepare


def held(folder: Path) -> Any:
    return vo.load_study(folder).user_attrs[RESCORED]


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("no luck")


# ---- with other settings behind the encoder


def test_mixtures_can_be_fitted_again_with_other_settings(finished_copy: Path) -> None:
    """K = 4 was never fitted, and raw space is another score."""
    changes = {"mixture.space": "raw", "mixture.components": [2, 4]}
    found = rescore(finished_copy, "icl", settings=changes)
    assert found.label == "icl [mixture.space=raw, mixture.components=[2, 4]]"
    session = prepare(open_study(finished_copy))
    for trial in vo.load_study(finished_copy).trials:
        stored = restore(trial, session)
        workflow = settings_of(trial).with_values({"rewards": [{"kind": "icl"}], **changes})
        z, kept = stored.latents.z_mean, stored.mixture.kept
        mixture = workflow.mixture.fit(
            z, kept=kept, fit_index=stored.mixture.fit_index, seeds=seeds_of(trial, session)
        )
        value = workflow.rewards[0].value(replace(stored, mixture=mixture))
        assert found.scores[trial.number].value == pytest.approx(value, abs=1e-12)
        np.testing.assert_array_equal(restore(trial, session).latents.z_mean, z)


def test_values_of_other_settings_stand_beside_the_first(finished_copy: Path) -> None:
    plain = rescore(finished_copy, "icl")
    raw = rescore(finished_copy, "icl", settings={"mixture.space": "raw"})
    stored = held(finished_copy)
    assert set(stored) == {plain.label, raw.label}
    assert stored[raw.label]["settings"] == {"mixture.space": "raw"}
    assert plain.scores != raw.scores
    assert raw.label in trials_frame(vo.load_study(finished_copy)).columns


def test_a_grid_that_was_never_fitted_is_refused_with_the_way_out(finished_copy: Path) -> None:
    with pytest.raises(StudyError, match=r"needs K = 5 in the grid, got \[1, 3\].*--set"):
        rescore(finished_copy, "silhouette")
    found = rescore(finished_copy, "silhouette", settings={"mixture.components": [1, 5]})
    assert len(found.scores) == N_TRIALS


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("vae.epochs", r"--set: vae\.epochs acts before the latents are there"),
        ("patches.size_px", r"--set: patches\.size_px acts before"),
        ("mixture.spase", r"mixture\.spase: unknown setting; did you mean 'space'"),
    ],
)
def test_what_needs_a_training_or_does_not_exist_is_refused(
    finished_copy: Path, path: str, message: str
) -> None:
    with pytest.raises(VaeoptError, match=message):
        rescore(finished_copy, "icl", settings={path: 3})


@pytest.mark.parametrize("at", ["set_user_attr", "add_trials"])
def test_a_study_that_a_dead_process_left_half_made_is_made_anew(
    finished_copy: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(optuna, "delete_study", lambda **_: None)  # a dead process takes nothing back
        real = optuna.Study.set_user_attr

        def dies(study: optuna.Study, *arguments: Any) -> None:
            if study.study_name == "half":
                raise KeyboardInterrupt
            real(study, *arguments)

        patch.setattr(optuna.Study, at, dies if at == "set_user_attr" else broken)
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            rescore(finished_copy, "icl", name="half")
    source = vo.load_study(finished_copy)
    assert "half" in optuna.get_all_study_names(source._storage)
    rescore(finished_copy, "icl", name="half")
    made = optuna.load_study(study_name="half", storage=source._storage)
    assert len(made.trials) == N_TRIALS
    with pytest.raises(StudyError, match=r"--as: study 'half' exists"):
        rescore(finished_copy, "icl", name="half")
