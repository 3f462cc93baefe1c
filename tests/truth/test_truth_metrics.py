"""What the truth says of a run: laws first, then numbers worked by hand."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import math
from dataclasses import replace

import numpy as np
import pytest

from vaeopt.core.types import KeyPoints, Patches, WorkflowRun
from vaeopt.datasets import RenderedScan
from vaeopt.testing import example_run
from vaeopt.truth.metrics import (
    angle_recovery,
    knn_accuracy,
    regret,
    true_k_partition,
    truth_of,
    whitened,
    window_error,
)

RNG = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], 100)
BLOBS = 6 * np.eye(3)[CLASSES][:, :2] + 0.3 * RNG.standard_normal((300, 2))


def scan(n_classes: int = 3, symmetry: int = 1) -> RenderedScan:
    """Three columns of one class each, the last rows ambiguous."""
    label = np.minimum(np.arange(60) // 20, n_classes - 1).astype(np.int16)
    class_map = np.tile(label, (60, 1))
    class_map[50:] = -1
    angle = np.linspace(0, 6, 60, dtype=np.float32)[:, None] * np.ones(60, np.float32)
    angle[class_map < 0] = np.nan
    return RenderedScan(
        name="columns",
        pixels=np.ones((60, 60), np.float32),
        pixel_size_nm=1.0,
        class_map=class_map,
        class_names=tuple("abc"[:n_classes]),
        angle_rad=angle,
        symmetry=(symmetry,) * n_classes,
        lengths_px={},
        length_px=10.0,
        yx_px=np.zeros((0, 2)),
    )


def run_on_columns(*, angle: bool = True) -> WorkflowRun:
    """Latents that are clusters by column of the image."""
    yx = np.stack([RNG.uniform(0, 49, 300), 20 * CLASSES + RNG.uniform(0, 19, 300)], axis=1)
    yx[::10, 0] = 55  # ambiguous
    run = example_run(BLOBS)
    codes = {"angle_rad": 0.5 - scan().angles_at(yx)} if angle else {}
    codes = {name: np.nan_to_num(code) for name, code in codes.items()}
    return replace(
        run,
        keypoints=KeyPoints(yx_px=yx, strength=np.ones(300)),
        latents=replace(run.latents, codes=codes),
        patches=Patches(pixels=np.zeros((300, 5, 5), np.float32), keypoint_index=np.arange(300)),
    )


def test_a_run_that_is_right_about_everything() -> None:
    truth = truth_of(run_on_columns(), scan())
    assert truth.ari_true_k == truth.ami_true_k == pytest.approx(1)
    assert truth.ari_chosen == truth.ami_chosen == pytest.approx(1)
    assert truth.ari_own_true_k == pytest.approx(1)
    assert (truth.k_chosen, truth.k_error, truth.knn15) == (3, 0, 1.0)
    assert truth.angle_resultant == pytest.approx(1, abs=1e-6)
    assert truth.window_error == pytest.approx(1)
    assert truth.says_structure is True


def test_ambiguous_points_do_not_count() -> None:
    run, right = run_on_columns(), scan()
    wrong = np.where(np.arange(60)[:, None] >= 50, 1, right.class_map).astype(np.int16)
    spoilt = replace(right, class_map=wrong)
    assert truth_of(run, right).ari_true_k == pytest.approx(1)
    assert (truth_of(run, spoilt).ari_true_k or 0) < 0.9


def test_one_class_has_no_partition_to_compare_with() -> None:
    truth = truth_of(run_on_columns(), scan(n_classes=1))
    assert (
        truth.ari_true_k
        is truth.ami_true_k
        is truth.ari_chosen
        is truth.ari_own_true_k
        is truth.knn15
        is None
    )
    assert (truth.k_error, truth.says_structure) == (2, True)
    noise = replace(
        run_on_columns(),
        mixture=example_run(RNG.standard_normal((300, 2))).mixture,
    )
    calm = truth_of(noise, scan(n_classes=1))
    assert (calm.k_chosen, calm.k_error, calm.says_structure) == (1, 0, False)


def test_a_model_without_angles_has_none_to_recover() -> None:
    assert truth_of(run_on_columns(angle=False), scan()).angle_resultant is None
    assert truth_of(run_on_columns(), scan(symmetry=0)).angle_resultant is None


def test_nothing_fitted_leaves_the_latents_to_be_judged() -> None:
    run = run_on_columns()
    none = replace(run, mixture=replace(run.mixture, chosen=None, failure="why"))
    truth = truth_of(none, scan())
    assert truth.ari_true_k == pytest.approx(1)
    assert truth.ari_chosen is truth.k_chosen is truth.k_error is None
    assert truth.says_structure is False


def test_T15_ari_at_the_chosen_k_is_that_of_the_test_vector() -> None:
    run = run_on_columns()
    six = replace(
        run,
        keypoints=KeyPoints(
            yx_px=np.array([(0, c) for c in (0, 1, 20, 21, 40, 41)], float), strength=np.ones(6)
        ),
        latents=replace(run.latents, z_mean=BLOBS[[0, 1, 100, 101, 200, 201]], codes={}),
        mixture=replace(
            run.mixture,
            responsibilities=np.eye(3)[[0, 0, 1, 2, 2, 2]],
            fit_index=np.arange(6),
        ),
    )
    truth = truth_of(six, scan())
    assert truth.ari_chosen == pytest.approx(0.444444, abs=1e-6)
    assert truth.ami_chosen == pytest.approx(0.502361, abs=1e-6)


# ---- the parts


def test_whitening_leaves_out_what_has_no_variance() -> None:
    flat = np.column_stack([BLOBS, np.full(300, 3.0), BLOBS[:, 0] - BLOBS[:, 1]])
    points = whitened(flat)
    assert points.shape == (300, 2)
    assert np.cov(points, rowvar=False, ddof=0) == pytest.approx(np.eye(2), abs=1e-9)
    assert whitened(np.ones((5, 2))).shape == (5, 0)


def test_the_partition_is_that_of_any_affine_image_of_the_latents() -> None:
    turned = BLOBS @ np.array([[30.0, 2.0], [-0.01, 0.1]]) + 5
    assert agreement_of(true_k_partition(BLOBS, 3), true_k_partition(turned, 3)) == 1


def agreement_of(a: np.ndarray, b: np.ndarray) -> float:
    from vaeopt.stages.rewards.partition import agreement

    return agreement(a, b).ari


def test_a_collapsed_latent_space_is_worth_nothing() -> None:
    assert set(true_k_partition(np.ones((300, 2)), 3)) == {0}
    assert knn_accuracy(np.ones((300, 2)), CLASSES) == pytest.approx(1 / 3)
    repeated = np.repeat(np.eye(2)[[0, 1, 1]], 100, axis=0)
    assert set(true_k_partition(repeated, 3)) == {0}


def test_neighbours_know_what_a_mixture_cannot_tell() -> None:
    angle = RNG.uniform(0, 2 * math.pi, 600)
    inner = np.arange(600) < 300
    rings = (np.where(inner, 1.0, 3.0) * [np.cos(angle), np.sin(angle)]).T
    classes = inner.astype(np.int64)
    assert knn_accuracy(rings, classes) == 1.0
    assert knn_accuracy(rings, RNG.permutation(classes)) == pytest.approx(0.5, abs=0.1)
    assert knn_accuracy(rings, np.where(np.arange(600) < 3, 0, 1)) is None


def test_angles_count_up_to_offset_sense_and_symmetry() -> None:
    true = RNG.uniform(0, math.pi, 200)
    turned = 0.3 - true + math.pi * RNG.integers(0, 2, 200)
    two = np.zeros(200, np.int64)
    assert angle_recovery(turned, true, two, (2,)) == pytest.approx(1)
    assert (angle_recovery(turned, true, two, (1,)) or 0) < 0.7
    assert (angle_recovery(RNG.permutation(true), true, two, (2,)) or 0) < 0.3
    assert angle_recovery(turned, true, two, (0,)) is None
    assert angle_recovery(turned, np.zeros(200), two, (2,)) is None
    assert angle_recovery(None, true, two, (2,)) is None


def test_the_mean_over_classes_weighs_them_alike() -> None:
    true = RNG.uniform(0, 2 * math.pi, 300)
    code = np.where(np.arange(300) < 20, true, 0.0)
    found = angle_recovery(code, true, np.where(np.arange(300) < 20, 0, 1), (1, 1))
    assert found == pytest.approx(0.5, abs=0.06)


def test_windows_twice_too_large_and_too_small_are_as_wrong() -> None:
    assert window_error(20, 10) == window_error(5, 10) == 1
    assert window_error(10, 10) == 0


def test_regret_is_what_the_pick_lacks() -> None:
    ari = np.array([0.1, 0.9, 0.4])
    assert regret(np.array([1.0, 3.0, 2.0]), ari, "maximize") == 0
    assert regret(np.array([1.0, 3.0, 2.0]), ari, "minimize") == pytest.approx(0.8)
    assert regret(np.array([1.0, np.nan, 2.0]), ari, "maximize") == pytest.approx(0.5)
    assert regret(np.ones(3), ari, "maximize") == pytest.approx(0.9 - ari.mean())
    assert regret(np.full(3, np.nan), ari, "maximize") is None


def test_the_partition_does_not_hang_on_the_seed_of_its_starts() -> None:
    """Overlapping classes among scattered points, where k-means alone ends in several optima."""
    rng = np.random.default_rng(5)
    centres = np.array([(0, 0), (2.2, 0), (0, 2.2), (2.0, 2.5)])
    spread = np.array([0.3, 0.9, 0.5, 0.4])
    member = rng.integers(0, 4, 700)
    z = centres[member] + spread[member, None] * rng.standard_normal((700, 2))
    z = np.concatenate([z, rng.uniform(-4, 6, (100, 2))])
    found = [true_k_partition(z, 4, seed=seed) for seed in range(4)]
    assert min(agreement_of(found[0], other) for other in found[1:]) > 0.99
