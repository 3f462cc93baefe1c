"""Second patches are cut once for all trials of a window, and change no bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import KeyPoints, Recut, WorkflowRun
from vaeopt.stages.patches import recut
from vaeopt.stages.rewards import Reward
from vaeopt.workflow import StageCache, Workflow, complete, recuts

REWARDS = [Reward.from_table({"kind": f"{p}-ami", "components": 3}) for p in ("rotation", "jitter")]


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Key points of every cut."""
    seen: list[int] = []
    does = recut

    def noted(micrograph: Any, keypoints: KeyPoints, *args: Any, **more: Any) -> Any:
        seen.append(len(keypoints))
        return does(micrograph, keypoints, *args, **more)

    monkeypatch.setattr(recuts, "recut", noted)
    return seen


def _recuts(workflow: Workflow, run: WorkflowRun, cache: StageCache) -> dict[str, Recut]:
    return dict(complete(workflow, run, REWARDS, seeds=Seeds(0, 0), cache=cache).recuts)


def _assert_equal(ours: dict[str, Recut], theirs: dict[str, Recut]) -> None:
    assert ours.keys() == theirs.keys() == {"rotation", "jitter"}
    for name, own in ours.items():
        np.testing.assert_array_equal(own.z_mean, theirs[name].z_mean)
        np.testing.assert_array_equal(own.inside, theirs[name].inside)


def test_they_are_cut_once_and_change_no_bit(
    workflow: Workflow, run: WorkflowRun, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, n = StageCache(), len(run.keypoints)
    first, second = (_recuts(workflow, run, cache) for _ in range(2))
    assert cuts == [n, n]
    monkeypatch.setattr(recuts, "_HELD_BYTES", 0)
    fresh = _recuts(workflow, run, StageCache())
    assert cuts == [n] * 4
    _assert_equal(first, fresh)
    _assert_equal(second, fresh)


def test_blocks_are_the_same_whether_held_or_not(
    workflow: Workflow, run: WorkflowRun, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recuts, "_RECUT_PIXELS", 20 * run.patches.size_px**2)
    held = _recuts(workflow, run, StageCache())
    assert cuts == [49, 49]
    monkeypatch.setattr(recuts, "_HELD_BYTES", 0)
    _assert_equal(_recuts(workflow, run, StageCache()), held)
    assert cuts[2:] == [20, 20, 9] * 2


def test_other_key_points_and_seeds_are_told_apart(
    workflow: Workflow, run: WorkflowRun, cuts: list[int]
) -> None:
    cache = StageCache()
    _recuts(workflow, run, cache)
    moved = replace(run.keypoints, yx_px=run.keypoints.yx_px + 1)
    seeded = replace(run.comparison, seed=run.comparison.seed + 1)
    for other in (replace(run, keypoints=moved), replace(run, comparison=seeded)):
        _assert_equal(_recuts(workflow, other, cache), _recuts(workflow, other, StageCache()))
    assert len(cuts) == 2 + 4 + 4


def test_little_memory_is_held(
    workflow: Workflow, run: WorkflowRun, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for one pose of the two: each drives out the other."""
    n = len(run.keypoints)
    monkeypatch.setattr(recuts, "_HELD_BYTES", 5 * n * run.patches.size_px**2)
    cache = StageCache()
    for _ in range(2):
        _recuts(workflow, run, cache)
    assert cuts == [n] * 4
