"""Recorded scores, replicates and the identity of studies that began before a setting existed."""

from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import vaeopt as vo
from tests.study.tiny import write_study
from vaeopt.core.errors import DataError, SettingsError, StudyError
from vaeopt.core.seeds import Seeds
from vaeopt.kernels.decoder import runs_native
from vaeopt.kernels.decoder.native import bf16_pays
from vaeopt.stages.rewards import Reward
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.check import check
from vaeopt.study.file import open_study
from vaeopt.study.guard import check_same
from vaeopt.study.quiet import name_metrics
from vaeopt.study.results.access import trials_frame
from vaeopt.study.results.records import (
    environment,
    environment_of,
    restore,
    scores_in,
    seeds_of,
    settings_of,
)
from vaeopt.study.session import prepare

REWARDS = '[ { kind = "gain" } ]\nscores = [ { kind = "rate" }, { kind = "bic" } ]'


def test_scores_are_stored_with_every_trial_and_steer_nothing(tmp_path: Path) -> None:
    with_scores = vo.optimize(write_study(tmp_path / "with", rewards=REWARDS))
    without = vo.optimize(write_study(tmp_path / "without", rewards='[ { kind = "gain" } ]'))
    assert with_scores.metric_names == ["gain"]
    assert [t.values for t in with_scores.trials] == [t.values for t in without.trials]
    frame = trials_frame(with_scores)
    for trial in with_scores.trials:
        held = scores_in(trial)
        assert list(held) == ["gain", "rate", "bic"]
        row = frame[frame["trial"] == trial.number].iloc[0]
        for label, score in held.items():
            assert score is not None
            assert row[label] == score.value
        assert held["gain"] is not None
        assert held["gain"].value == trial.value


def test_a_trial_of_several_trainings_has_their_mean_and_spread(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path, head="", rewards='[ { kind = "rate" } ]\nreplicates = 2', n_trials=2
    )
    study = vo.optimize(folder)
    session = prepare(open_study(folder))
    frame = trials_frame(study)
    for trial in study.trials:
        run = restore(trial, session)
        values = [Reward.from_table("rate").value(member) for member in run.members]
        assert len(values) == 2
        assert trial.value == pytest.approx(np.mean(values), abs=1e-12)
        row = frame[frame["trial"] == trial.number].iloc[0]
        assert row["rate sd"] == pytest.approx(np.std(values, ddof=1))
        assert row["rate sd"] > 0


def test_a_mean_number_of_components_is_not_shadowed_by_that_of_one_training(
    tmp_path: Path,
) -> None:
    rewards = '[ { kind = "components" }, { kind = "gain" } ]\nreplicates = 2'
    folder = write_study(tmp_path, rewards=rewards, n_trials=1)
    (trial,) = vo.optimize(folder).trials
    trial.values = [1.5, *trial.values[1:]]
    by_hand = optuna.create_study(directions=["minimize", "maximize"])
    name_metrics(by_hand, ["components", "gain"])
    by_hand.add_trial(trial)
    assert trials_frame(by_hand)["components"].tolist() == [1.5]


def test_the_first_training_of_several_is_that_of_a_study_without_replicates(
    tmp_path: Path,
) -> None:
    one = write_study(tmp_path / "one", rewards='[ { kind = "rate" } ]', n_trials=1)
    two = write_study(tmp_path / "two", rewards='[ { kind = "rate" } ]\nreplicates = 2', n_trials=1)
    (alone,), (first,) = vo.optimize(one).trials, vo.optimize(two).trials
    runs = [restore(t, prepare(open_study(f))) for t, f in ((alone, one), (first, two))]
    np.testing.assert_array_equal(runs[0].latents.z_mean, runs[1].latents.z_mean)
    assert alone.value != first.value


def test_seeds_of_a_trial_are_those_that_it_ran_with(finished_folder: Path) -> None:
    session = prepare(open_study(finished_folder))
    trial = vo.load_study(finished_folder).trials[2]
    assert seeds_of(trial, session) == Seeds(0, trial.user_attrs["vaeopt:seed_number"])


@pytest.mark.parametrize(
    "path",
    ["replicates", "stop_collapsed", "latents", "scores", "mixture.subsets", "bayesian.subsets"],
)
def test_what_trials_must_share_cannot_be_searched(tmp_path: Path, path: str) -> None:
    search = f'"{path}" = {{ choices = [1, 2] }}'
    with pytest.raises(SettingsError, match=f"search.{path}: "):
        open_study(write_study(tmp_path, search=search))


def test_a_reward_that_can_never_be_computed_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    folder = write_study(
        tmp_path,
        components="[1, 5]",
        patches="{ size_px = 23 }",
        search="",
        rewards='[ { kind = "spatial-kappa" } ]',
        keypoints='{ kind = "grid", spacing_px = 4 }',
    )
    with pytest.raises(DataError, match="reward 'spatial-kappa' compares key points"):
        vo.optimize(folder)
    assert not list(folder.glob("*.db"))


def test_a_score_that_can_never_be_computed_is_a_warning_and_left_empty(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path,
        components="[1, 5]",
        patches="{ size_px = 23 }",
        search="",
        rewards='[ { kind = "gain" } ]\nscores = [ { kind = "spatial-kappa" } ]',
        keypoints='{ kind = "grid", spacing_px = 4 }',
        n_trials=1,
    )
    (warning,) = [line for line in check(open_study(folder)) if line.startswith("warning")]
    assert "spatial_kappa will be left empty" in warning
    (trial,) = vo.optimize(folder).trials
    assert scores_in(trial)["spatial_kappa"] is None


def test_the_record_says_what_computed_the_loss(tmp_path: Path) -> None:
    """Another engine gives other digits: a replay that differs can name it."""
    fast = write_study(tmp_path / "fast", vae='engine = "fast"', search="", n_trials=1)
    (trial,) = vo.optimize(fast).trials
    assert environment_of(trial)["decoder"] == "torch"
    workflow = settings_of(trial)
    expected = "native" if runs_native("auto", "float32", torch.device("cpu")) else "torch"
    auto = workflow.with_values({"vae.engine": "auto"})
    assert environment(auto)["decoder"] == expected
    assert environment(auto.with_values({"vae.invariances": []}))["decoder"] == expected


def test_the_record_says_how_numbers_were_rounded(tmp_path: Path) -> None:
    """With precision = "auto" that depends on the processor."""
    plain = write_study(tmp_path / "plain", search="", n_trials=1)
    (trial,) = vo.optimize(plain).trials
    assert environment_of(trial)["precision"] == "float32"
    auto = settings_of(trial).with_values({"vae.precision": "auto"})
    assert environment(auto)["precision"] == ("bf16" if bf16_pays() else "float32")
    fast = auto.with_values({"vae.engine": "fast"})
    assert environment(fast)["precision"] == "float32"


# ---- identity


def _forget_settings(study: optuna.Study) -> None:
    """As if the study had begun before these settings existed."""
    identity = study.user_attrs[IDENTITY]
    for name in ("replicates", "latents", "bayesian", "scores"):
        del identity["workflow"][name]
    del identity["workflow"]["mixture"]["subsets"]
    study.set_user_attr(IDENTITY, identity)


def test_a_study_that_began_before_a_setting_existed_goes_on(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    _forget_settings(study)
    session = prepare(open_study(finished_copy))
    check_same(vo.load_study(finished_copy), session)


def test_it_is_still_refused_where_such_a_setting_is_used(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    _forget_settings(study)
    text = (finished_copy / "study.toml").read_text()
    changed = text.replace("[search]", "replicates = 2\n[search]", 1)
    (finished_copy / "study.toml").write_text(changed)
    with pytest.raises(StudyError, match=r"workflow\.replicates: was 1, is 2"):
        check_same(vo.load_study(finished_copy), prepare(open_study(finished_copy)))
