"""Rewards that ask a classical descriptor: by hand first, then from an image to a value."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.stages.rewards.clear_types import NOISE, QUICK, TYPE, N, Z, run_of
from vaeopt.core.errors import DataError, SettingsError
from vaeopt.core.types import Comparison, KeyPoints, Look, Micrograph, WorkflowRun
from vaeopt.kernels.agreement import alike_kappa
from vaeopt.stages.look import look_at
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.descriptor_ami import DescriptorAmi
from vaeopt.stages.rewards.descriptor_kappa import DescriptorKappa
from vaeopt.stages.rewards.partition import agreement, partition
from vaeopt.testing import check_reward, check_settings, example_micrograph, example_run
from vaeopt.workflow import Workflow

BOTH = [DescriptorAmi, DescriptorKappa]
STUDY = Comparison(largest_window_px=5, core_px=5, n_fit=100, seed=0)


def _labels(run: WorkflowRun, k: int) -> NDArray[np.int64]:
    found = partition(run, k)
    assert found is not None
    return np.asarray(found, np.int64)


def _look(types: NDArray[np.int64], labels: dict[int, NDArray[np.int64]]) -> Look:
    """Each point looks most like three of its type, wherever they stand."""
    alike, rng = np.empty((len(types), 3), dtype=np.int64), np.random.default_rng(5)
    for kind in np.unique(types):
        members = rng.permutation(np.flatnonzero(types == kind))
        alike[members] = np.column_stack([np.roll(members, -s) for s in (1, 2, 3)])
    return Look(alike=alike, labels=labels)


CLEAR = run_of(Z)
SEEN = replace(CLEAR, look=_look(TYPE, {k: _labels(CLEAR, k) for k in range(2, 7)}))
_MIXED = np.random.default_rng(2).permutation(N)
UNRELATED = replace(
    CLEAR, look=_look(TYPE[_MIXED], {k: _labels(CLEAR, k)[_MIXED] for k in range(2, 7)})
)


# ---- values


@pytest.mark.parametrize("cls", BOTH)
def test_who_sees_the_same_agrees_and_who_does_not_is_at_chance(cls: type[Any]) -> None:
    assert 0.9 < cls().value(SEEN) <= 1
    assert abs(cls().value(UNRELATED)) < 0.05
    assert cls(components=(5, 5)).value(SEEN) == pytest.approx(1)


def test_the_ami_is_the_mean_over_k_of_that_of_both_partitions() -> None:
    rng = np.random.default_rng(3)
    seen = {k: rng.permutation(np.arange(N) % k) for k in range(2, 9)}
    seen[4] = np.where(rng.random(N) < 0.7, _labels(CLEAR, 4), seen[4])
    run = replace(CLEAR, look=_look(TYPE, seen))
    each = {k: agreement(_labels(CLEAR, k), seen[k]).ami for k in range(2, 7)}
    assert each[4] > 0.3
    assert DescriptorAmi().value(run) == pytest.approx(np.mean([each[k] for k in (3, 4, 5, 6)]))
    assert DescriptorAmi(components=(2, 4)).value(run) == pytest.approx(
        np.mean([each[k] for k in (2, 3, 4)])
    )


def test_the_kappa_is_the_mean_over_k_of_that_of_look_alikes() -> None:
    look = _look(TYPE[_MIXED], {})
    half = np.where(np.arange(N)[:, None] % 2, look.alike, _look(TYPE, {}).alike)
    run = replace(CLEAR, look=Look(alike=half, labels={}))
    each = [alike_kappa(_labels(CLEAR, k), half) for k in (3, 4, 5, 6)]
    value = DescriptorKappa().value(run)
    assert value == pytest.approx(np.mean([k for k in each if k is not None]))
    assert 0.3 < value < 0.7


def test_orientation_in_the_latents_is_punished() -> None:
    """The same look, and latents that follow an angle."""
    angle = np.random.default_rng(4).uniform(0, 2 * np.pi, N)
    ring = run_of(8 * np.c_[np.cos(angle), np.sin(angle)] + 0.3 * Z / 8)
    for cls in BOTH:
        assert cls().value(replace(ring, look=SEEN.look)) < 0.1


@pytest.mark.parametrize("cls", BOTH)
def test_names_of_components_do_not_matter(cls: type[Any]) -> None:
    assert SEEN.look is not None
    swapped = {k: 20 - labels for k, labels in SEEN.look.labels.items()}
    renamed = replace(SEEN, look=replace(SEEN.look, labels=swapped))
    assert cls().value(renamed) == pytest.approx(cls().value(SEEN))


# ---- nothing to compute from


@pytest.mark.parametrize("cls", BOTH)
def test_without_a_look_or_a_mixture_there_is_no_structure(cls: type[Any]) -> None:
    blind = Look(alike=np.full((N, 10), -1), labels={})
    for run in (CLEAR, replace(CLEAR, look=blind)):
        assert not cls().available(run)
        assert cls().value(run) == 0.0
    nothing = replace(example_run(np.zeros((N, 2)), QUICK), look=SEEN.look)
    assert not cls().available(nothing)
    assert cls().value(nothing) == 0.0


def test_every_k_must_be_seen_by_both() -> None:
    assert SEEN.look is not None
    few = {k: v for k, v in SEEN.look.labels.items() if k < 6}
    run = replace(SEEN, look=replace(SEEN.look, labels=few))
    assert DescriptorAmi().value(run) == 0.0
    assert DescriptorAmi(components=(3, 5)).value(run) > 0.9
    assert DescriptorKappa().value(run) == DescriptorKappa().value(SEEN), "needs no labels"
    for cls in BOTH:
        assert cls(components=(3, 8)).value(SEEN) == 0.0, "the grid ends at 6"


@pytest.mark.parametrize("cls", BOTH)
def test_few_distinct_points_never_win(cls: type[Any]) -> None:
    """28 places repeated; K = 5 has 29 free parameters."""
    rows = np.repeat(np.arange(0, N, N // 28)[:28], 3)
    few = run_of(Z[rows])
    look = _look(TYPE[rows], {k: _labels(CLEAR, k)[rows] for k in range(2, 7)})
    assert cls().value(replace(few, look=look)) == 0.0


# ---- settings


@pytest.mark.parametrize("cls", BOTH)
def test_labels_name_the_components_that_are_not_the_default(cls: type[Any]) -> None:
    name = cls.kind.replace("-", "_")
    assert cls().label == cls(components=(3, 6)).label == name
    assert cls(components=(4, 4)).label == f"{name}(K=4)"
    assert cls(components=(2, 8)).label == f"{name}(K=2-8)"
    assert cls().components_needed == (3, 4, 5, 6)
    assert cls().needs == {"look"}
    assert cls().direction == "maximize"
    assert cls().mistake == ""


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("wrong", [(1, 3), (6, 3), (3, 9)])
def test_components_that_cannot_be_are_refused(cls: type[Any], wrong: tuple[int, int]) -> None:
    text = rf"components must be two rising numbers from 2 to 8, got {wrong[0]}, {wrong[1]}"
    with pytest.raises(SettingsError, match=text):
        Reward.from_table({"kind": cls.kind, "components": list(wrong)})


@pytest.mark.parametrize("cls", BOTH)
def test_a_k_outside_the_grid_is_refused_with_the_settings(cls: type[Any]) -> None:
    table: Any = [{"kind": cls.kind}]
    with pytest.raises(SettingsError, match=rf"'{cls.kind}' needs K = 6 in the grid, got \[1, 5\]"):
        Workflow(mixture=Gmm(components=(1, 5)), rewards=table)
    with pytest.raises(SettingsError, match=r"needs K = 3, 4 in the grid, got \[5, 8\]"):
        Workflow(mixture=Gmm(components=(5, 8)), rewards=table)
    assert Workflow(mixture=Gmm(components=(3, 6)), rewards=table).rewards == (cls(),)


@pytest.mark.parametrize("cls", BOTH)
def test_too_few_key_points_are_refused_before_training(cls: type[Any]) -> None:
    def points(n: int) -> KeyPoints:
        return KeyPoints(yx_px=np.full((n, 2), 30.0), strength=np.ones(n))

    cls().check(example_micrograph(), points(50), STUDY)
    with pytest.raises(DataError, match=rf"workflow.rewards: .*{cls.kind}.*only 49; at least 50"):
        cls().check(example_micrograph(), points(49), STUDY)


@pytest.mark.parametrize("cls", BOTH)
def test_the_laws_of_all_rewards_hold(cls: type[Any]) -> None:
    check_settings(cls())
    check_reward(cls())


# ---- from an image to a value


def _turned_stripes() -> tuple[Micrograph, KeyPoints, NDArray[np.int64], NDArray[np.float64]]:
    """Stripes of three periods, mixed in the image, each tile at an angle of its own."""
    rng = np.random.default_rng(7)
    row, column = np.mgrid[:24, :24] - 11.5
    types, angle = rng.integers(0, 3, (18, 18)), rng.uniform(0, np.pi, (18, 18))
    period = np.array([4.0, 6.5, 11.0])[types]
    pixels = np.block(
        [
            [
                np.sin(2 * np.pi * (row * np.sin(a) + column * np.cos(a)) / p)
                for a, p in zip(angles, periods, strict=True)
            ]
            for angles, periods in zip(angle, period, strict=True)
        ]
    )
    noisy = 0.5 + 0.3 * pixels + 0.05 * rng.standard_normal(pixels.shape)
    image = replace(example_micrograph(), pixels=np.clip(noisy, 0, 1).astype(np.float32))
    middles = 24.0 * np.array(list(product(range(18), range(18)))) + 11.5
    points = KeyPoints(yx_px=middles, strength=np.ones(len(middles)))
    return image, points, types.ravel(), angle.ravel()


@pytest.mark.parametrize("cls", BOTH)
def test_types_rank_above_pose_and_above_noise(cls: type[Any]) -> None:
    image, points, types, angle = _turned_stripes()
    rng, n = np.random.default_rng(8), len(types)
    noise = rng.standard_normal((n, 2))
    corner = 6.0 * np.array([(0, 0), (1, 0), (0, 1)])[types]
    pose = 6 * np.c_[np.cos(2 * angle), np.sin(2 * angle)]
    look = look_at(image, points, largest_window_px=21)
    cloud = {
        "types": corner + 0.5 * noise,
        "types, blurred": corner + 2.5 * noise,
        "pose": pose + 0.5 * noise,
        "noise": noise,
    }
    reward = cls(components=(3, 3))
    found = {
        name: reward.value(replace(example_run(z, QUICK), look=look)) for name, z in cloud.items()
    }
    assert found["types"] > 0.9
    assert found["types"] > found["types, blurred"] + 0.1
    assert found["types, blurred"] > 0.2
    assert abs(found["pose"]) < 0.1
    assert abs(found["noise"]) < 0.1


def test_noise_runs_have_partitions_all_the_same() -> None:
    """Latents without any types are judged, not skipped: their value is near chance."""
    for cls in BOTH:
        run = replace(NOISE, look=SEEN.look)
        assert cls().available(run)
        assert abs(cls().value(run)) < 0.05
