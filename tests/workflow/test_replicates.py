"""Trainings with other seeds, other subsets, and recorded scores: what a value is made of."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.stages.rewards import Reward
from vaeopt.testing import example_run
from vaeopt.workflow import (
    Score,
    Workflow,
    comparison_for,
    complete,
    load_run,
    needs_of,
    primitives,
    rewards_of,
    save_run,
    score_of,
    scores_of,
    walk,
)
from vaeopt.workflow.scores import known_score

RNG = np.random.default_rng(0)
CLUSTERS = np.concatenate([RNG.standard_normal((150, 2)), RNG.standard_normal((150, 2)) + 9])
GRID: dict[str, Any] = {"kind": "gmm", "components": [1, 3], "n_init": 1}


def _reward(kind: str, **settings: Any) -> Reward:
    return Reward.from_table({"kind": kind, **settings})


@pytest.fixture(scope="module")
def three(workflow: Workflow, micrograph: Micrograph) -> WorkflowRun:
    """Three trainings of the smallest workflow."""
    thrice = workflow.with_values({"replicates": 3})
    return walk(thrice, micrograph, comparison=comparison_for(thrice, 49), seeds=Seeds(0, 0))


# ---- trainings


def test_replicates_are_other_trainings_of_the_same_key_points(
    run: WorkflowRun, three: WorkflowRun
) -> None:
    assert len(three.members) == 3
    # Member 0 is the run, but for the rounding of sums.
    np.testing.assert_allclose(three.latents.z_mean, run.latents.z_mean, atol=1e-5)
    for other in three.replicates:
        np.testing.assert_array_equal(other.keypoints.yx_px, run.keypoints.yx_px)
        np.testing.assert_array_equal(other.patches.pixels, run.patches.pixels)
        assert not np.allclose(other.latents.z_mean, run.latents.z_mean)
    first, second = three.replicates
    assert not np.allclose(first.latents.z_mean, second.latents.z_mean)


def test_a_replicate_is_the_run_of_its_own_seeds(
    workflow: Workflow, micrograph: Micrograph, three: WorkflowRun
) -> None:
    for number, member in enumerate(three.members):
        alone = walk(
            workflow,
            micrograph,
            comparison=comparison_for(workflow, 49),
            seeds=Seeds(0, 0).replicate(number),
        )
        np.testing.assert_allclose(member.latents.z_mean, alone.latents.z_mean, atol=1e-5)
        np.testing.assert_allclose(member.vae.loss_nats, alone.vae.loss_nats, rtol=1e-5)
        values = rewards_of(workflow, alone)
        assert rewards_of(workflow, replace(member, replicates=())) == pytest.approx(values, 1e-4)


def test_the_time_that_replicates_share_is_shared_out(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    twice, started = workflow.with_values({"replicates": 2}), time.perf_counter()
    comparison = comparison_for(twice, 49)
    run = walk(twice, micrograph, comparison=comparison, seeds=Seeds(0, 0))
    took = time.perf_counter() - started
    first, second = (member.seconds for member in run.members)
    for stage in ("keypoints", "patches", "vae"):
        assert first[stage] == second[stage] > 0
    assert sum(first.values()) + sum(second.values()) <= took


def test_a_value_is_the_mean_over_trainings_and_its_spread_is_kept(three: WorkflowRun) -> None:
    reward = _reward("rate")
    values = [reward.value(member) for member in three.members]
    found = score_of(reward, three)
    assert found.value == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert found.sd > 0
    assert found.n == 3


def test_one_training_has_no_spread(run: WorkflowRun) -> None:
    assert score_of(_reward("rate"), run) == Score(_reward("rate").value(run), 0.0, 1)


def test_replicates_come_back_from_their_files(
    workflow: Workflow, three: WorkflowRun, tmp_path: Path
) -> None:
    files = save_run(three, tmp_path)
    assert [f.name for f in files[2:4]] == [
        "replicate1-latents.npz",
        "replicate1-model.safetensors",
    ]
    again = load_run(tmp_path, three.micrograph)
    assert rewards_of(workflow, again) == rewards_of(workflow, three)
    assert primitives(again) == primitives(three)
    assert len(primitives(again)["replicates"]) == 2
    assert all(member.patches is again.patches for member in again.members)


def test_seeds_of_replicates_meet_neither_each_other_nor_other_trials() -> None:
    words = {
        Seeds(seed, number).replicate(member).integer("vae-weights")
        for seed in range(3)
        for number in range(5)
        for member in range(5)
    }
    assert len(words) == 3 * 5 * 5


def test_one_collapsed_training_makes_the_trial_infeasible(
    workflow: Workflow, micrograph: Micrograph, three: WorkflowRun
) -> None:
    products = [member.diagnostics.variance_product for member in three.members]
    assert len(set(products)) == 3
    between = float(np.mean(sorted(products)[:2]))  # only the least fails
    strict = workflow.with_values({"replicates": 3, "latent_filter.minimum": between})
    run = walk(strict, micrograph, comparison=comparison_for(strict, 49), seeds=Seeds(0, 0))
    assert not run.collapse.feasible
    assert run.collapse.margin == pytest.approx(np.log10(between / min(products)))
    (reason,) = run.collapse.reasons
    assert reason.startswith(f"replicate {int(np.argmin(products))}: product of the variances")


class _Spread(Reward, kind="test-spread-of-members"):
    """Looks at all trainings itself."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "minimize"
    least_replicates: ClassVar[int] = 2

    @property
    def label(self) -> str:
        return "spread"

    def __call__(self, run: WorkflowRun) -> float:
        return float(np.ptp([member.diagnostics.rate_nats for member in run.members]))

    def structureless(self, run: WorkflowRun) -> float:
        return 0.0


def test_a_reward_that_compares_trainings_sees_them_all(three: WorkflowRun) -> None:
    rates = [member.diagnostics.rate_nats for member in three.members]
    assert score_of(_Spread(), three) == Score(max(rates) - min(rates), 0.0, 1)


def test_a_reward_that_compares_trainings_needs_them() -> None:
    with pytest.raises(SettingsError, match=r"rewards\.1: .* set replicates to 2 or more"):
        Workflow(rewards=(_reward("rate"), _Spread()))
    assert Workflow(rewards=(_Spread(),), replicates=2).replicates == 2


# ---- subsets


def test_subsets_are_fitted_again_and_their_scores_averaged() -> None:
    table: dict[str, Any] = {
        "mixture": {**GRID, "max_points": 60, "subsets": 4},
        "density_filter": {"kind": "none"},
    }
    run = example_run(CLUSTERS, Workflow(**table))
    drawn = [m.fit_index for m in (run.mixture, *run.resampled)]
    assert [len(index) for index in drawn] == [60] * 4
    assert len({tuple(index) for index in drawn}) == 4
    gain = _reward("gain")
    values = [gain.value(replace(run, mixture=m)) for m in (run.mixture, *run.resampled)]
    assert score_of(gain, run) == Score(float(np.mean(values)), float(np.std(values, ddof=1)), 4)
    assert score_of(_reward("rate"), run).n == 1  # knows of no mixture


def test_the_first_subset_is_that_of_a_study_without_subsets(tmp_path: Path) -> None:
    several = {**GRID, "max_points": 60, "subsets": 2}
    one = {**GRID, "max_points": 60}
    run, alone = (example_run(CLUSTERS, Workflow(mixture=m)) for m in (several, one))  # type: ignore[arg-type]
    np.testing.assert_array_equal(run.mixture.fit_index, alone.mixture.fit_index)
    save_run(run, tmp_path)
    again = load_run(tmp_path, run.micrograph)
    np.testing.assert_array_equal(again.resampled[0].fit_index, run.resampled[0].fit_index)
    assert score_of(_reward("gain"), again) == score_of(_reward("gain"), run)


# ---- draws from the posterior


def test_draws_are_scored_but_collapse_is_judged_by_the_means() -> None:
    """A collapsed unit has q = N(0, 1): its draws have variance 1, its means have none."""
    drawn = Workflow(latents="sample", mixture=GRID)  # type: ignore[arg-type]
    run = example_run(CLUSTERS * [1, 1e-3], drawn)
    assert run.latents.z_sample is not None
    assert run.latents.z is run.latents.z_sample
    noise = (run.latents.z_sample - run.latents.z_mean) / run.latents.z_std
    assert abs(noise.std() - 1) < 0.1
    assert not run.collapse.feasible
    assert "z2" in run.collapse.reasons[0]
    mean = example_run(CLUSTERS, Workflow(mixture=GRID))  # type: ignore[arg-type]
    assert mean.latents.z is mean.latents.z_mean


def test_draws_are_the_same_every_time_and_come_back(tmp_path: Path) -> None:
    drawn = Workflow(latents="sample", mixture=GRID)  # type: ignore[arg-type]
    run, again = example_run(CLUSTERS, drawn), example_run(CLUSTERS, drawn)
    np.testing.assert_array_equal(run.latents.z, again.latents.z)
    save_run(run, tmp_path)
    np.testing.assert_array_equal(load_run(tmp_path, run.micrograph).latents.z, run.latents.z)


def test_other_trainings_of_an_example_have_draws_and_stand_ins_too() -> None:
    drawn = Workflow(latents="sample", replicates=3, mixture=GRID)  # type: ignore[arg-type]
    run = example_run(np.where(CLUSTERS > 11, np.nan, CLUSTERS), drawn)
    assert not run.collapse.feasible
    for member in run.members:
        assert member.latents.z is member.latents.z_sample
        assert np.isfinite(member.latents.z).all()


# ---- scores that steer nothing


def test_scores_stand_beside_the_rewards() -> None:
    workflow = Workflow(mixture=GRID, scores=({"kind": "bic"}, {"kind": "aic"}))  # type: ignore[arg-type]
    run = example_run(CLUSTERS, workflow)
    assert list(scores_of(workflow, run)) == ["fvu_core", "gain", "rate", "bic", "aic"]
    assert list(rewards_of(workflow, run)) == ["fvu_core", "gain", "rate"]


def test_a_score_may_not_repeat_a_reward() -> None:
    with pytest.raises(SettingsError, match=r"^scores\.0: 'gain' is asked for twice$"):
        Workflow(scores=({"kind": "gain"},))  # type: ignore[arg-type]


def test_a_score_without_a_mixture_is_unknown_and_a_reward_has_a_stand_in() -> None:
    workflow = Workflow(mixture=GRID, scores=({"kind": "bic"},))  # type: ignore[arg-type]
    found = scores_of(workflow, example_run(np.zeros((60, 2)), workflow))
    assert found["bic"] is None
    assert found["gain"] == Score(0.0, 0.0, 1)


def test_a_score_that_compares_trainings_is_known(three: WorkflowRun) -> None:
    assert known_score(_Spread(), three) == score_of(_Spread(), three)


def test_a_score_that_these_key_points_cannot_give_is_unknown() -> None:
    """Sixty key points have too few pairs of neighbours, whatever the latents."""
    grid = {**GRID, "components": [1, 5]}
    workflow = Workflow(mixture=grid, scores=({"kind": "spatial-kappa"},))  # type: ignore[arg-type]
    assert scores_of(workflow, example_run(CLUSTERS[:30], workflow))["spatial_kappa"] is None
    assert scores_of(workflow, example_run(CLUSTERS, workflow))["spatial_kappa"] is not None


# ---- what rewards need


def test_nothing_is_computed_that_nobody_looks_at(run: WorkflowRun) -> None:
    assert needs_of([_reward("gain"), _reward("rate")]) == frozenset()
    assert run.bayesian is None
    assert run.recuts == {}


def test_a_stored_run_is_completed_without_training(
    workflow: Workflow, run: WorkflowRun, tmp_path: Path
) -> None:
    save_run(run, tmp_path)
    stored = load_run(tmp_path, run.micrograph)
    rewards = [_reward("rotation-ami", components=3), _reward("jitter-ami", components=3)]
    assert needs_of(rewards) == {"rotation", "jitter"}
    full = complete(workflow, stored, rewards, seeds=Seeds(0, 0))
    assert set(full.recuts) == {"rotation", "jitter"}
    for name, recut in full.recuts.items():
        assert recut.z_mean.shape == run.latents.z_mean.shape
        assert not np.allclose(recut.z_mean[recut.inside], run.latents.z_mean[recut.inside]), name
    again = complete(workflow, stored, rewards, seeds=Seeds(7, 7))
    for reward in rewards:  # the second poses are those of the study, whatever the trial
        assert known_score(reward, again) == known_score(reward, full)
    np.testing.assert_array_equal(full.latents.z_mean, run.latents.z_mean)


def test_second_poses_are_the_same_in_blocks(
    workflow: Workflow, run: WorkflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards = [_reward("rotation-ami", components=3), _reward("jitter-ami", components=3)]
    whole = complete(workflow, run, rewards, seeds=Seeds(0, 0)).recuts
    monkeypatch.setattr("vaeopt.workflow.recuts._RECUT_PIXELS", 10 * run.patches.size_px**2)
    blocks = complete(workflow, run, rewards, seeds=Seeds(0, 0)).recuts
    for name, recut in whole.items():
        assert 0 < recut.inside.sum() < len(run.keypoints)
        np.testing.assert_array_equal(blocks[name].inside, recut.inside)
        np.testing.assert_allclose(blocks[name].z_mean, recut.z_mean, atol=1e-6)


def test_the_second_pose_of_a_run_comes_back_from_its_files(
    workflow: Workflow, run: WorkflowRun, tmp_path: Path
) -> None:
    reward = _reward("rotation-ami", components=3)
    full = complete(workflow, run, [reward], seeds=Seeds(0, 0))
    save_run(full, tmp_path)
    again = load_run(tmp_path, run.micrograph)
    np.testing.assert_array_equal(again.recuts["rotation"].z_mean, full.recuts["rotation"].z_mean)
    assert reward.value(again) == reward.value(full)


# ---- rewards that need a guard, and grids


def test_a_reward_that_nothing_wins_is_refused_without_a_gain() -> None:
    with pytest.raises(SettingsError, match=r"rewards\.0: 'entropy' is best for latents without"):
        Workflow(rewards=({"kind": "entropy"},))  # type: ignore[arg-type]
    assert Workflow(rewards=({"kind": "entropy"}, {"kind": "gain"})).rewards  # type: ignore[arg-type]
    assert Workflow(scores=({"kind": "entropy"},)).scores  # type: ignore[arg-type]


def test_a_reward_that_looks_at_five_components_needs_them_in_the_grid() -> None:
    with pytest.raises(SettingsError, match=r"^mixture\.components: reward .* needs K = 5"):
        Workflow(mixture=GRID, scores=({"kind": "spatial-kappa"},))  # type: ignore[arg-type]


def test_a_mixture_without_a_grid_has_no_gain() -> None:
    with pytest.raises(SettingsError, match=r"^mixture\.kind: reward 'gain' needs a grid"):
        Workflow(mixture="bgmm")  # type: ignore[arg-type]


def test_the_evidence_comes_from_a_model_that_has_one() -> None:
    with pytest.raises(SettingsError, match=r"^bayesian\.kind: kind 'gmm' estimates no evidence"):
        Workflow(bayesian="gmm")  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["max_points", "subsets"])
def test_the_points_of_the_evidence_are_those_of_the_mixture(setting: str) -> None:
    table: dict[str, Any] = {"bayesian": {"kind": "bgmm", setting: 20}}
    with pytest.raises(SettingsError, match=rf"^bayesian\.{setting}: .* set mixture\.{setting}$"):
        Workflow(**table)
    table = {"mixture": {"kind": "bgmm", setting: 20}, "rewards": ["elbo"]}
    assert getattr(Workflow(**table).mixture, setting) == 20
