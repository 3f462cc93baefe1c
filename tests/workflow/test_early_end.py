"""Trainings whose latents have collapsed for good: ended early if asked for, and told."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Collapse, LatentDiagnostics, Micrograph, TrainedVae, WorkflowRun
from vaeopt.stages.latent_filter.variance_product import VarianceProduct
from vaeopt.stages.vae import Watch
from vaeopt.workflow import (
    Workflow,
    comparison_for,
    flow,
    load_run,
    primitives,
    refit,
    rewards_of,
    save_run,
    walk,
)
from vaeopt.workflow.early import HOPELESS_MARGIN, check_epochs, watch_of

EPOCHS = 10
STOP = 6
"""the second look"""


def _workflow(workflow: Workflow, **values: Any) -> Workflow:
    paths = {"vae.epochs": EPOCHS, "stop_collapsed": True, "latent_filter.minimum": 1e6}
    return workflow.with_values(paths | values)


def _walk(workflow: Workflow, micrograph: Micrograph) -> WorkflowRun:
    comparison = comparison_for(workflow, 49)
    return walk(workflow, micrograph, comparison=comparison, seeds=Seeds(0, 0))


@pytest.fixture(scope="module")
def stopped(workflow: Workflow, micrograph: Micrograph) -> WorkflowRun:
    """No product of variances reaches 1e6."""
    return _walk(_workflow(workflow), micrograph)


# ---- when it looks


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 10, 40, 120, 999])
def test_it_looks_in_the_second_half_and_never_behind_the_last_epoch(epochs: int) -> None:
    looks = check_epochs(epochs)
    assert all(epochs / 2 <= look < epochs for look in looks)
    assert list(looks) == sorted(set(looks))
    assert len(looks) <= 4


def _judged(margins: Sequence[float], monkeypatch: pytest.MonkeyPatch, run: WorkflowRun) -> int:
    """After which look a training ends whose latents have these margins; 0: never."""
    left: Iterator[float] = iter(margins)

    def verdict(self: VarianceProduct, health: LatentDiagnostics, *, raw_space: bool) -> Collapse:
        return Collapse(margin=next(left), reasons=())

    monkeypatch.setattr(VarianceProduct, "__call__", verdict)
    settings: dict[str, Any] = {"latent_filter": "variance-product", "vae": {"epochs": EPOCHS}}
    make = watch_of(Workflow(**settings, stop_collapsed=True), run.patches)
    assert make is not None
    watch, asked = make(), 0

    def so_far() -> TrainedVae:
        nonlocal asked
        asked += 1
        return run.vae

    for epoch in range(1, EPOCHS):
        if watch(epoch, so_far):
            return asked
    assert asked == len(margins)
    return 0


@pytest.mark.parametrize(
    ("margins", "ends"),
    [
        ([1.5, 1.5], 2),
        ([HOPELESS_MARGIN, 6.0], 2),
        ([1.5, 0.9, 1.5, 1.6], 4),  # in a row
        ([3.3, 3.2, 2.1, 1.3], 0),  # it wakes up
        ([3.3, 3.2, 3.25], 3),
        ([0.9, -1.0, 0.99, 0.99], 0),  # collapsed, but it may recover
        ([1.5, 0.9, 1.5, 0.9], 0),
    ],
)
def test_it_takes_two_hopeless_looks_in_a_row_of_which_the_second_is_no_better(
    run: WorkflowRun, monkeypatch: pytest.MonkeyPatch, margins: list[float], ends: int
) -> None:
    assert _judged(margins, monkeypatch, run) == ends


def test_latents_without_a_number_are_left_to_the_training(
    workflow: Workflow, run: WorkflowRun
) -> None:
    make = watch_of(_workflow(workflow), run.patches)
    assert make is not None
    broken = {name: np.full_like(array, np.nan) for name, array in run.vae.weights.items()}
    vae = TrainedVae(
        config=run.vae.config, window_px=7, weights=broken, loss_nats=run.vae.loss_nats
    )
    watch = make()
    assert not any(watch(epoch, lambda: vae) for epoch in range(1, EPOCHS))


def test_nobody_looks_unless_asked_to(workflow: Workflow, run: WorkflowRun) -> None:
    assert not Workflow().stop_collapsed
    assert watch_of(workflow, run.patches) is None


# ---- what comes out


def test_a_run_that_is_not_ended_has_the_same_bits_as_one_that_nobody_watched(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    healthy = _workflow(workflow, **{"latent_filter.minimum": 1e-9, "replicates": 2})
    watched = _walk(healthy, micrograph)
    plain = _walk(healthy.with_values({"stop_collapsed": False}), micrograph)
    for found, expected in zip(watched.members, plain.members, strict=True):
        np.testing.assert_array_equal(found.vae.loss_nats, expected.vae.loss_nats)
        np.testing.assert_array_equal(found.latents.z_mean, expected.latents.z_mean)
    assert rewards_of(healthy, watched) == rewards_of(healthy, plain)
    assert watched.collapse == plain.collapse


def test_a_collapsed_one_ends_with_what_it_has_learnt_so_far(
    workflow: Workflow, micrograph: Micrograph, stopped: WorkflowRun
) -> None:
    asked = _workflow(workflow)
    short = _walk(asked.with_values({"vae.epochs": STOP, "stop_collapsed": False}), micrograph)
    assert stopped.vae.stopped
    assert not stopped.vae.diverged
    np.testing.assert_array_equal(stopped.vae.loss_nats, short.vae.loss_nats)
    assert len(stopped.vae.loss_nats) == STOP
    np.testing.assert_array_equal(stopped.latents.z_mean, short.latents.z_mean)
    assert rewards_of(asked, stopped) == rewards_of(asked, short)
    assert all(math.isfinite(value) for value in rewards_of(asked, stopped).values())
    # The continuous margin of the filter, at that epoch.
    assert stopped.collapse.margin == short.collapse.margin > HOPELESS_MARGIN


def test_it_says_so(stopped: WorkflowRun) -> None:
    first, second = stopped.collapse.reasons
    assert first == "stopped at epoch 6 of 10 as collapsed (stopped_early)"
    assert second.endswith("(collapsed)")
    held = json.loads(json.dumps(primitives(stopped), allow_nan=False))
    assert held["training"]["stopped_epoch"] == held["training"]["epochs"] == STOP
    assert not held["training"]["diverged"]


def test_it_repeats(workflow: Workflow, micrograph: Micrograph, stopped: WorkflowRun) -> None:
    again = _walk(_workflow(workflow), micrograph)
    assert again.collapse == stopped.collapse
    np.testing.assert_array_equal(again.latents.z_mean, stopped.latents.z_mean)


def test_one_replicate_ends_and_the_others_go_on(
    workflow: Workflow, micrograph: Micrograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrice = _workflow(workflow, **{"replicates": 3, "latent_filter.minimum": 1e-9})
    plain, made = _walk(thrice, micrograph), itertools.count()

    def watch() -> Watch:
        number = next(made)
        return lambda epochs_done, so_far: number == 1 and epochs_done == STOP

    monkeypatch.setattr(flow, "watch_of", lambda workflow, patches: watch)
    found = _walk(thrice, micrograph)
    assert [member.vae.stopped for member in found.members] == [False, True, False]
    for member in (0, 2):
        one, expected = found.members[member], plain.members[member]
        np.testing.assert_allclose(one.vae.loss_nats, expected.vae.loss_nats, rtol=1e-5)
    (reason,) = found.collapse.reasons
    assert reason == "replicate 1: stopped at epoch 6 of 10 as collapsed (stopped_early)"
    assert found.collapse.margin == HOPELESS_MARGIN  # infeasible, whatever the last look would say


def test_files_remember_it_and_no_other_filter_lets_it_win(
    workflow: Workflow, micrograph: Micrograph, stopped: WorkflowRun, tmp_path: Any
) -> None:
    save_run(stopped, tmp_path)
    restored = load_run(tmp_path, micrograph)
    assert restored.vae.stopped
    assert restored.collapse == stopped.collapse
    lenient = _workflow(workflow, **{"latent_filter.minimum": 1e-30})
    judged = refit(lenient, restored, lenient.rewards, seeds=Seeds(0, 0))
    assert judged.collapse.margin == HOPELESS_MARGIN
    assert judged.collapse.reasons == ("stopped at epoch 6 of 10 as collapsed (stopped_early)",)
