"""Several walks: each one as if it were alone, told as soon as it is there, whoever fails."""

from typing import Any

import numpy as np
import pytest

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.workflow import StageCache, Workflow, comparison_for, flow, rewards_of, walk, walk_many

SEEDS = [Seeds(0, 0), Seeds(0, 1), Seeds(0, 2)]


def _three(workflow: Workflow) -> list[Workflow]:
    return [
        workflow,
        workflow.with_values({"vae.invariances": ("rotation",)}),
        workflow.with_values({"patches.size_px": 5, "replicates": 2}),
    ]


def _shared(workflow: Workflow, **others: Any) -> dict[str, Any]:
    return {"comparison": comparison_for(workflow, 49, windows_px=(5, 7)), **others}


def test_each_run_is_what_it_would_be_alone(workflow: Workflow, micrograph: Micrograph) -> None:
    workflows, shared = _three(workflow), _shared(workflow)
    seen: list[object] = []
    runs = list(
        walk_many(
            workflows,
            micrograph,
            seeds=SEEDS,
            on_epoch=lambda epoch, epochs, loss: seen.append((epoch, epochs)),
            on_group=lambda positions: seen.append(list(positions)),
            **shared,
        )
    )
    epochs = [(1, 3), (2, 3), (3, 3)]
    assert seen == [[0], *epochs, [1], *epochs, [2], *epochs]
    for run, own, seeds in zip(runs, workflows, SEEDS, strict=True):
        assert isinstance(run, WorkflowRun)
        alone = walk(own, micrograph, seeds=seeds, **shared)
        assert rewards_of(own, run) == rewards_of(own, alone)
        assert len(run.members) == own.replicates
        np.testing.assert_array_equal(run.latents.z_mean, alone.latents.z_mean)
        assert {"keypoints", "patches", "vae", "encode", "mixture"} <= run.seconds.keys()


def test_a_run_is_handed_out_before_the_next_one_trains(
    workflow: Workflow, micrograph: Micrograph
) -> None:
    groups: list[list[int]] = []
    runs = walk_many(
        _three(workflow),
        micrograph,
        seeds=SEEDS,
        on_group=lambda positions: groups.append(list(positions)),
        **_shared(workflow),
    )
    for n in (1, 2, 3):
        assert isinstance(next(runs), WorkflowRun)
        assert len(groups) == n


@pytest.mark.parametrize("stage", ["cut", "encode", "filtered", "scored"])
def test_a_run_that_fails_at_any_stage_leaves_the_others(
    stage: str, workflow: Workflow, micrograph: Micrograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    does, calls = getattr(flow, stage), iter(range(100))

    def fail_second(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 1:
            raise DataError("too few points")
        return does(*args, **kwargs)

    groups: list[list[int]] = []
    with monkeypatch.context() as patch:
        patch.setattr(flow, stage, fail_second)
        first, second, third = walk_many(
            [workflow] * 3,
            micrograph,
            seeds=SEEDS,
            cache=StageCache(size=1),  # patches are cut for each
            on_group=lambda positions: groups.append(list(positions)),
            **_shared(workflow),
        )
    assert isinstance(second, DataError)
    assert groups == ([[0], [2]] if stage == "cut" else [[0], [1], [2]])
    for run, seeds in ((first, SEEDS[0]), (third, SEEDS[2])):
        assert isinstance(run, WorkflowRun)
        alone = walk(workflow, micrograph, seeds=seeds, **_shared(workflow))
        np.testing.assert_array_equal(run.latents.z_mean, alone.latents.z_mean)


def test_one_walk_that_fails_raises(
    workflow: Workflow, micrograph: Micrograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise DataError("too few points")

    monkeypatch.setattr(flow, "encode", fail)
    with pytest.raises(DataError, match="too few points"):
        walk(workflow, micrograph, seeds=SEEDS[0], **_shared(workflow))


def test_no_walks_are_no_runs(workflow: Workflow, micrograph: Micrograph) -> None:
    assert list(walk_many([], micrograph, seeds=[], **_shared(workflow))) == []
