"""The walk: same seeds, same values; what runs share; what makes a run impossible to score."""
# ruff: noqa: N802  # properties carry the names that they have in docs/semantics.md

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.testing import example_run
from vaeopt.workflow import (
    STAGES,
    StageCache,
    Workflow,
    comparison_for,
    primitives,
    rewards_of,
    walk,
)
from vaeopt.workflow.run import score

N_KEYPOINTS = 49
RNG = np.random.default_rng(0)
HEALTHY = np.concatenate([RNG.standard_normal((80, 2)), RNG.standard_normal((80, 2)) + 9])


def _walk(
    workflow: Workflow,
    micrograph: Micrograph,
    seeds: Seeds = Seeds(0, 0),  # noqa: B008  # frozen
    **others: Any,
) -> WorkflowRun:
    comparison = comparison_for(workflow, N_KEYPOINTS)
    return walk(workflow, micrograph, comparison=comparison, seeds=seeds, **others)


# ---- from image to rewards


def test_the_same_seeds_give_the_same_values(
    workflow: Workflow, micrograph: Micrograph, run: WorkflowRun
) -> None:
    again = _walk(workflow, micrograph)
    assert rewards_of(workflow, again) == rewards_of(workflow, run)
    np.testing.assert_array_equal(again.latents.z_mean, run.latents.z_mean)


def test_another_trial_gives_other_values(
    workflow: Workflow, micrograph: Micrograph, run: WorkflowRun
) -> None:
    other = rewards_of(workflow, _walk(workflow, micrograph, Seeds(0, 1)))
    assert all(value != other[label] for label, value in rewards_of(workflow, run).items())


def test_values_stand_by_label_in_the_order_of_the_study(
    workflow: Workflow, run: WorkflowRun
) -> None:
    values = rewards_of(workflow, run)
    assert list(values) == [
        "fvu_core",
        "gain",
        "icl(w=0.5)",
        "bic",
        "aic",
        "rate",
        "variance_product",
    ]
    assert all(math.isfinite(value) for value in values.values())


def test_every_stage_hands_on_what_belongs_together(run: WorkflowRun) -> None:
    assert len(run.keypoints) == len(run.patches) == len(run.latents) == N_KEYPOINTS
    assert run.patches.size_px == run.vae.window_px == 7
    assert len(run.mixture.fit_index) == run.comparison.n_fit == 45  # ceil(.9 * 49)
    assert run.mixture.kept[run.mixture.fit_index].all()
    assert run.mixture.responsibilities.shape[0] == N_KEYPOINTS
    assert run.vae.pixel_size_nm == 10.0
    assert run.collapse.feasible


def test_the_time_of_every_stage_is_taken(run: WorkflowRun) -> None:
    timed = list(run.seconds)
    assert timed == ["keypoints", "patches", "vae", "encode", "density_filter", "mixture"]
    assert set(timed) - {"encode"} <= set(STAGES)
    assert all(seconds >= 0 for seconds in run.seconds.values())


def test_key_points_are_those_of_the_largest_window(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    large, small = (
        walk(
            workflow.with_values({"patches.size_px": size, "vae.epochs": 1}),
            micrograph,
            comparison=comparison_for(workflow, N_KEYPOINTS, windows_px=(5, 13)),
            seeds=Seeds(0, 0),
        )
        for size in (13, 5)
    )
    np.testing.assert_array_equal(large.keypoints.yx_px, small.keypoints.yx_px)
    assert (large.patches.size_px, small.patches.size_px) == (13, 5)
    assert large.latents.reconstruction.core_px == small.latents.reconstruction.core_px == 5
    margin = 6  # half of 13
    assert large.keypoints.yx_px.min() >= margin
    assert large.keypoints.yx_px.max() <= 47 - margin


def test_epochs_are_announced(workflow: Workflow, micrograph: Micrograph) -> None:
    seen: list[int] = []
    _walk(workflow, micrograph, on_epoch=lambda epoch, epochs, loss: seen.append(epoch))
    assert seen == [1, 2, 3]


# ---- what trials share


def test_a_cache_changes_no_value(
    workflow: Workflow, micrograph: Micrograph, run: WorkflowRun
) -> None:
    cache = StageCache()
    first = _walk(workflow, micrograph, Seeds(0, 9), cache=cache)
    second = _walk(workflow, micrograph, cache=cache)
    assert second.keypoints is first.keypoints
    assert second.patches is first.patches
    assert rewards_of(workflow, second) == rewards_of(workflow, run)


def test_a_cache_tells_windows_and_detectors_apart(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    cache, shared = StageCache(), comparison_for(workflow, N_KEYPOINTS, windows_px=(5, 7))

    def walked(values: dict[str, Any]) -> WorkflowRun:
        changed = workflow.with_values(values)
        return walk(changed, micrograph, comparison=shared, seeds=Seeds(0, 0), cache=cache)

    first, smaller, denser = (
        walked(values) for values in ({}, {"patches.size_px": 5}, {"keypoints.spacing_px": 5})
    )
    assert (first.patches.size_px, smaller.patches.size_px) == (7, 5)
    assert smaller.keypoints is first.keypoints
    assert len(denser.keypoints) > len(first.keypoints)
    assert len(denser.patches) == len(denser.keypoints)


def test_a_fit_sees_as_many_points_as_the_comparison_says(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    run = _walk(workflow.with_values({"mixture.max_points": 20}), micrograph)
    assert len(run.mixture.fit_index) == 20
    assert {fit.n_points for fit in run.mixture.fits} == {20}
    assert run.collapse.feasible


def test_a_cache_forgets_what_was_used_least_recently() -> None:
    cache, made = StageCache(size=2), []

    def get(key: int) -> int:
        def make() -> int:
            made.append(key)
            return key * 10

        return cache.get("stage", (key,), make)

    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]


def test_a_cache_holds_little_memory_of_each_stage() -> None:
    cache, made = StageCache(most_bytes=100), []

    def get(stage: str, n: int) -> KeyPoints:
        def make() -> KeyPoints:
            made.append((stage, n))
            return KeyPoints(yx_px=np.zeros((n, 2)), strength=np.zeros(n))  # 24 n bytes

        return cache.get(stage, (n,), make)

    for stage, n in [("a", 1), ("b", 2), ("b", 1), ("b", 2), ("b", 3), ("b", 5), ("b", 5)]:
        get(stage, n)
    assert made == [("a", 1), ("b", 2), ("b", 1), ("b", 3), ("b", 5)]
    for stage, n in [("a", 1), ("b", 5), ("b", 3)]:  # 5 is too large, and held until the next
        get(stage, n)
    assert made[5:] == [("b", 3)]


def test_a_comparison_fixes_windows_points_and_seed(workflow: Workflow) -> None:
    found = comparison_for(workflow, 100, windows_px=(3, 21), seed=5)
    assert found == Comparison(largest_window_px=21, core_px=3, n_fit=90, seed=5)
    assert comparison_for(workflow, 100).largest_window_px == 7


def test_no_fit_is_larger_than_its_limit(workflow: Workflow) -> None:
    limited = workflow.with_values({"mixture.max_points": 50})
    assert comparison_for(limited, 1000).n_fit == 50
    assert comparison_for(workflow, 100_000).n_fit == 2000


def test_too_few_key_points_for_the_mixture_are_one_line(workflow: Workflow) -> None:
    """Three components of three points each (two latents) need nine points."""
    assert comparison_for(workflow, 9).n_fit == 9
    with pytest.raises(DataError) as caught:
        comparison_for(workflow, 8)
    assert str(caught.value) == (
        "workflow.keypoints: 8 key points leave 8 for the mixture fit, fewer than the "
        "9 that its largest number of components needs; loosen the detector, lower "
        "mixture.components or use a larger image"
    )


# ---- runs that cannot be scored


def _workflow(**table: Any) -> Workflow:
    quick = {"kind": "gmm", "components": [1, 3], "n_init": 1, **table.pop("mixture", {})}
    kinds = ["icl", "bic", "aic", "gain", "rate", "reconstruction", "variance-product"]
    return Workflow(**{"mixture": quick, "rewards": [{"kind": k} for k in kinds], **table})


def _rescored(workflow: Workflow, run: WorkflowRun, **changes: Any) -> WorkflowRun:
    """The same run with other latents (by keyword), comparison or vae."""
    comparison = changes.pop("comparison", run.comparison)
    vae = changes.pop("vae", run.vae)
    return score(
        workflow,
        run.micrograph,
        run.keypoints,
        run.patches,
        vae,
        replace(run.latents, **changes),
        comparison=comparison,
        seeds=Seeds(0, 0),
        seconds={},
    )


def test_a_healthy_run_is_feasible() -> None:
    run = example_run(HEALTHY, _workflow())
    assert run.collapse.margin < 0
    assert run.collapse.reasons == ()


@pytest.mark.parametrize("space", ["whiten", "standard", "raw"])
@pytest.mark.parametrize(
    "z",
    [
        np.zeros((60, 2)),
        np.repeat(HEALTHY[:2], 30, axis=0),
        HEALTHY * [1.0, 0.0],
        HEALTHY[:, :1] * [1.0, 2.0],
        HEALTHY[:2],
    ],
    ids=["duplicates", "two-places", "constant-unit", "a-line", "two-points"],
)
def test_P3_degenerate_latents_are_infeasible_with_a_reason(z: Any, space: str) -> None:
    workflow = _workflow(mixture={"space": space})
    run = example_run(z, workflow)
    assert run.collapse.margin > 0
    assert run.collapse.reasons
    assert all(math.isfinite(value) for value in rewards_of(workflow, run).values())
    assert json.dumps(primitives(run), allow_nan=False)


def test_too_few_points_are_a_margin_in_decades() -> None:
    workflow = _workflow(density_filter={"kind": "none"})
    run = example_run(HEALTHY, workflow)
    wanting = _rescored(workflow, run, comparison=replace(run.comparison, n_fit=1600))
    assert wanting.collapse.margin == pytest.approx(1.0)
    assert wanting.collapse.reasons == (
        "160 points passed the density filter, 1600 are needed (too_few_points)",
    )


def test_a_run_without_a_mixture_has_the_largest_margin() -> None:
    run = example_run(np.zeros((60, 2)), _workflow(latent_filter={"kind": "geomean"}))
    assert run.collapse.margin == 6.0
    assert run.collapse.reasons[-1].endswith("(no_mixture)")


def test_a_diverged_training_is_infeasible_however_its_latents_look() -> None:
    workflow = _workflow()
    run = example_run(HEALTHY, workflow)
    diverged = _rescored(workflow, run, vae=replace(run.vae, diverged=True))
    assert diverged.collapse.margin == 6.0
    assert diverged.collapse.reasons == (
        "the training loss left the finite numbers in epoch 2 of 200 (diverged)",
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["z_mean", "z_std", "code_mean", "code_std"])
def test_latents_without_a_number_count_as_diverged_and_have_finite_values(
    field: str, bad: float
) -> None:
    workflow = _workflow()
    run = example_run(HEALTHY, workflow)
    start = {"code_mean": np.zeros((160, 1)), "code_std": np.ones((160, 1))}
    array = np.array(start.get(field, getattr(run.latents, field)))
    array[3:90, 0] = bad
    broken = _rescored(workflow, run, **{**start, field: array})
    assert broken.collapse.margin == 6.0
    assert broken.collapse.reasons[-1].endswith("(diverged)")
    assert all(math.isfinite(value) for value in rewards_of(workflow, broken).values())
    assert json.dumps(primitives(broken), allow_nan=False)


def test_a_reconstruction_without_a_number_gets_the_worst_value() -> None:
    workflow = _workflow()
    run = example_run(HEALTHY, workflow)
    lost = replace(run.latents.reconstruction, fvu_core=math.nan, nll_nats=math.inf)
    broken = _rescored(workflow, run, vae=replace(run.vae, diverged=True), reconstruction=lost)
    assert rewards_of(workflow, broken)["fvu_core"] == 1e3
    assert primitives(broken)["reconstruction"]["fvu_core"] is None


def test_a_training_that_diverges_walks_to_its_end(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    run = _walk(workflow.with_values({"vae.learning_rate": 1e6}), micrograph)
    assert run.vae.diverged
    assert run.collapse.margin == 6.0
    assert all(math.isfinite(value) for value in rewards_of(workflow, run).values())
