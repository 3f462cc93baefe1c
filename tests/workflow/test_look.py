"""What windows look like is computed once for all trials of a study, and only where it is asked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, WorkflowRun
from vaeopt.stages.look import look_at
from vaeopt.stages.rewards import Reward
from vaeopt.workflow import StageCache, Workflow, comparison_for, complete, look, refit, walk

ASKING = [
    Reward.from_table({"kind": f"descriptor-{name}", "components": [2, 3]})
    for name in ("ami", "kappa")
]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Largest window of every look that was computed."""
    seen: list[int] = []

    def noted(*args: Any, largest_window_px: int) -> Any:
        seen.append(largest_window_px)
        return look_at(*args, largest_window_px=largest_window_px)

    monkeypatch.setattr(look, "look_at", noted)
    return seen


def _completed(workflow: Workflow, run: WorkflowRun, cache: StageCache) -> WorkflowRun:
    return complete(workflow, run, ASKING, seeds=Seeds(0, 0), cache=cache)


def test_it_is_there_only_if_it_is_asked_for(
    workflow: Workflow, run: WorkflowRun, looks: list[int]
) -> None:
    assert run.look is None
    plain = complete(workflow, run, [Reward.from_table("gain")], seeds=Seeds(0, 0))
    assert plain.look is None
    assert looks == []
    assert "look" not in plain.seconds


def test_it_is_computed_once_for_a_study(
    workflow: Workflow, run: WorkflowRun, looks: list[int]
) -> None:
    cache = StageCache()
    first, second = (_completed(workflow, run, cache) for _ in range(2))
    assert first.look is second.look is not None
    assert looks == [run.comparison.largest_window_px]
    assert first.seconds["look"] > 0
    assert _completed(workflow, first, StageCache()).look is first.look, "what is there stays"
    assert len(looks) == 1
    for reward in ASKING:
        assert -1 <= reward.value(first) <= 1
        assert reward.available(first)


def test_replicates_share_it(workflow: Workflow, run: WorkflowRun, looks: list[int]) -> None:
    twice = _completed(workflow, replace(run, replicates=(run,)), StageCache())
    assert [member.look is twice.look for member in twice.members] == [True, True]
    assert len(looks) == 1


def test_other_points_windows_and_images_are_told_apart(
    workflow: Workflow, run: WorkflowRun, looks: list[int]
) -> None:
    cache = StageCache()
    before = _completed(workflow, run, cache)
    wider = replace(run.comparison, largest_window_px=run.comparison.largest_window_px + 4)
    pixels = np.ascontiguousarray(run.micrograph.pixels[::-1])
    others = [
        replace(run, keypoints=replace(run.keypoints, yx_px=run.keypoints.yx_px + 1)),
        replace(run, comparison=wider),
        replace(run, micrograph=replace(run.micrograph, pixels=pixels, sha256="another")),
    ]
    for other in others:
        assert _completed(workflow, other, cache).look is not before.look
    assert len(looks) == 1 + len(others)


def test_it_does_not_depend_on_the_window_or_the_seed_of_a_trial(
    workflow: Workflow, run: WorkflowRun, looks: list[int]
) -> None:
    cache = StageCache()
    before = _completed(workflow, run, cache)
    other = replace(
        run,
        patches=replace(run.patches, pixels=run.patches.pixels[:, 1:-1, 1:-1]),
        comparison=replace(run.comparison, seed=run.comparison.seed + 1),
    )
    assert _completed(workflow, other, cache).look is before.look
    assert len(looks) == 1


def test_a_walk_and_a_new_fit_have_it_too(
    workflow: Workflow, micrograph: Micrograph, run: WorkflowRun, looks: list[int]
) -> None:
    asked = workflow.model_copy(update={"scores": tuple(ASKING)})
    comparison = comparison_for(asked, len(run.keypoints))
    walked = walk(asked, micrograph, comparison=comparison, seeds=Seeds(0, 0))
    again = refit(workflow, run, ASKING, seeds=Seeds(0, 0))
    assert walked.look is not None
    assert again.look is not None
    np.testing.assert_array_equal(walked.look.alike, again.look.alike)
    for reward in ASKING:
        assert reward.value(again) == pytest.approx(reward.value(walked), abs=1e-6)
