"""Rewards that ask whether a partition is real: laws first, then numbers worked by hand."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.stages.rewards.clear_types import (
    CLEAR,
    NOISE,
    QUICK,
    STRIPS,
    N,
    Z,
    full,
    run_of,
    seen_again,
)
from vaeopt.core.errors import DataError, SettingsError
from vaeopt.core.types import Comparison, GaussianMixtureFit, KeyPoints
from vaeopt.kernels.agreement import spatial_kappa
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards.bootstrap_stability import BootstrapStability
from vaeopt.stages.rewards.jitter_ami import JitterAmi
from vaeopt.stages.rewards.partition import agreement, labels_at, partition
from vaeopt.stages.rewards.rotation_ami import RotationAmi
from vaeopt.stages.rewards.seed_ari import SeedAri
from vaeopt.stages.rewards.silhouette import Silhouette
from vaeopt.stages.rewards.spatial_kappa import SpatialKappa, kappa_at
from vaeopt.testing import example_micrograph, example_run
from vaeopt.workflow import Workflow

FIXED_K = [SpatialKappa, RotationAmi, JitterAmi, SeedAri, BootstrapStability, Silhouette]
# ---- laws of all


@pytest.mark.parametrize("cls", FIXED_K)
def test_clear_clusters_are_near_the_best_value(cls: type[Any]) -> None:
    assert 0.85 < cls().value(CLEAR) <= 1


@pytest.mark.parametrize("cls", FIXED_K)
def test_a_run_without_a_mixture_has_the_value_of_no_structure(cls: type[Any]) -> None:
    for z in (np.zeros((N, 2)), Z * [1.0, 0.0], np.repeat(Z[:1], N, axis=0), Z[:1]):
        run = example_run(z, QUICK)
        assert run.mixture.chosen is None
        assert cls().value(full(run)) == 0.0


@pytest.mark.parametrize("cls", FIXED_K)
def test_few_distinct_points_never_win(cls: type[Any]) -> None:
    """28 places repeated are perfectly stable; K = 5 has 29 free parameters."""
    few = full(run_of(np.repeat(Z[:: N // 28][:28], 3, axis=0)))
    assert few.mixture.chosen is not None
    assert cls().value(few) == 0.0


@pytest.mark.parametrize("cls", FIXED_K)
def test_a_k_out_of_the_grid_has_the_value_of_no_structure(cls: type[Any]) -> None:
    reward = cls(components=9)
    assert reward.value(CLEAR) == 0.0
    assert 9 in reward.components_needed


@pytest.mark.parametrize("cls", FIXED_K)
def test_the_label_names_another_k(cls: type[Any]) -> None:
    assert cls().label == cls.kind.replace("-", "_")
    assert cls(components=7).label == f"{cls.kind.replace('-', '_')}(K=7)"


@pytest.mark.parametrize("cls", FIXED_K)
def test_names_of_components_do_not_matter(cls: type[Any]) -> None:
    order = [3, 0, 4, 1, 2]
    fits = tuple(
        fit
        if fit.n_components != 5
        else replace(
            fit,
            weights=fit.weights[order],
            means=fit.means[order],
            covariances=fit.covariances[order],
        )
        for fit in NOISE.mixture.fits
    )
    swapped = full(replace(NOISE, mixture=replace(NOISE.mixture, fits=fits)))
    assert cls().value(swapped) == pytest.approx(cls().value(NOISE), abs=1e-12)


@pytest.mark.parametrize("cls", FIXED_K)
def test_one_component_is_no_partition(cls: type[Any]) -> None:
    with pytest.raises(SettingsError, match="components"):
        cls(components=1)


# ---- spatial kappa


def test_the_value_is_the_kappa_of_the_labels() -> None:
    labels = partition(NOISE, 5)
    assert labels is not None
    window = NOISE.comparison.largest_window_px
    expected = spatial_kappa(labels, NOISE.keypoints.yx_px, window, 1.75 * window)
    assert SpatialKappa(least_pairs=1).value(NOISE) == expected
    wide = spatial_kappa(labels, NOISE.keypoints.yx_px, window, 4 * window)
    assert SpatialKappa(outer=4.0).value(NOISE) == wide != expected


def test_types_without_place_agree_by_chance() -> None:
    order = np.random.default_rng(3).permutation(N)
    shuffled = replace(CLEAR, keypoints=replace(CLEAR.keypoints, yx_px=STRIPS[order]))
    assert abs(SpatialKappa(outer=5.0).value(shuffled)) < 0.05
    assert SpatialKappa(outer=5.0).value(CLEAR) > 0.9


def test_the_window_of_the_study_decides_who_is_a_neighbour() -> None:
    larger = replace(NOISE, comparison=replace(NOISE.comparison, largest_window_px=9))
    assert SpatialKappa().value(larger) != SpatialKappa().value(NOISE)


def test_half_width_is_the_mean_over_k() -> None:
    each = [kappa_at(CLEAR, (k,)) for k in (4, 5, 6)]
    assert None not in each
    mean = np.mean([k for k in each if k is not None])
    assert kappa_at(CLEAR, (4, 5, 6)) == pytest.approx(mean)
    reward = SpatialKappa(half_width=1)
    assert reward.components_needed == (4, 5, 6)
    assert reward.value(CLEAR) == pytest.approx(mean)
    assert reward.label == "spatial_kappa(K=4-6)"


def test_a_missing_k_leaves_no_mean() -> None:
    assert kappa_at(CLEAR, (5, 6, 7)) is None
    assert SpatialKappa(components=6, half_width=1).value(CLEAR) == 0.0


def test_half_width_leaves_at_least_two_components() -> None:
    with pytest.raises(SettingsError, match=r"components - half_width must be at least 2"):
        SpatialKappa(components=3, half_width=2)


def _pairs(n: int) -> KeyPoints:
    """``n`` unordered pairs that are 7 px apart, far from each other."""
    corners = np.array([(100.0 * i, c) for i in range(n) for c in (0.0, 7.0)])
    return KeyPoints(yx_px=corners, strength=np.ones(2 * n))


STUDY = Comparison(largest_window_px=5, core_px=5, n_fit=100, seed=0)


def test_too_few_pairs_are_refused_before_training() -> None:
    image = example_micrograph()
    SpatialKappa().check(image, _pairs(100), STUDY)
    with pytest.raises(DataError, match=r"only 198 such ordered pairs; at least 200.*raise outer"):
        SpatialKappa().check(image, _pairs(99), STUDY)
    SpatialKappa(least_pairs=198).check(image, _pairs(99), STUDY)


def test_too_few_pairs_have_no_number() -> None:
    lonely = replace(CLEAR, keypoints=replace(CLEAR.keypoints, yx_px=100 * STRIPS))
    assert kappa_at(lonely, (5,)) is None
    assert SpatialKappa().value(lonely) == 0.0


# ---- cut again


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_the_same_partition_agrees_and_another_does_not(cls: type[Any]) -> None:
    assert cls().value(seen_again(CLEAR, Z)) == pytest.approx(1)
    mixed = Z[np.random.default_rng(4).permutation(N)]
    assert abs(cls().value(seen_again(CLEAR, mixed))) < 0.05
    assert cls().needs == {cls.kind.removesuffix("-ami")}


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_the_value_is_the_ami_under_the_same_fit(cls: type[Any]) -> None:
    again = Z + 3 * np.random.default_rng(5).standard_normal(Z.shape)
    before, after = (labels_at(CLEAR.mixture, z, 5) for z in (Z, again))
    assert before is not None
    assert after is not None
    value = cls().value(seen_again(CLEAR, again))
    assert value == agreement(before, after).ami
    assert 0.2 < value < 0.9


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_only_key_points_with_room_count(cls: type[Any]) -> None:
    inside = np.random.default_rng(6).random(N) < 0.5
    again = np.where(inside[:, None], Z, Z[::-1])
    assert cls().value(seen_again(CLEAR, again, inside)) == pytest.approx(1)
    assert cls().value(seen_again(CLEAR, again)) < 0.9
    assert cls().value(seen_again(CLEAR, again, np.zeros(N, dtype=bool))) == 0.0


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_means_are_compared_with_means(cls: type[Any]) -> None:
    drawn = replace(CLEAR, latents=replace(CLEAR.latents, z_sample=Z[::-1]))
    assert cls().value(seen_again(drawn, Z)) == pytest.approx(1)


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_a_run_that_was_not_cut_again_has_the_value_of_no_structure(cls: type[Any]) -> None:
    assert cls().value(replace(CLEAR, recuts={})) == 0.0


@pytest.mark.parametrize("cls", [RotationAmi, JitterAmi])
def test_too_little_room_is_refused_before_training(cls: type[Any]) -> None:
    image = example_micrograph()
    middle = KeyPoints(yx_px=np.tile([30.0, 31.0], (50, 1)), strength=np.ones(50))
    cls().check(image, middle, STUDY)
    with pytest.raises(DataError, match=r"only 49 of 49 key points.*at least 50.*larger image"):
        cls().check(image, replace(middle, yx_px=middle.yx_px[1:], strength=np.ones(49)), STUDY)
    corner = replace(middle, yx_px=np.tile([2.0, 2.0], (50, 1)))
    with pytest.raises(DataError, match=rf"{cls.kind}.*only \d+ of 50 key points"):
        cls().check(image, corner, STUDY)


# ---- trained again


def test_the_same_training_agrees_and_one_alone_says_nothing() -> None:
    assert SeedAri().value(CLEAR) == pytest.approx(1)
    assert SeedAri().value(replace(CLEAR, replicates=())) == 0.0
    assert SeedAri.least_replicates == 3


def test_the_value_is_the_mean_over_pairs() -> None:
    members = [CLEAR, NOISE, run_of(Z + 3 * np.random.default_rng(7).standard_normal(Z.shape))]
    labels = [partition(member, 5) for member in members]
    pairs = [
        agreement(a, b).ari
        for a, b in product(labels, labels)
        if a is not b and a is not None and b is not None
    ]
    assert len(pairs) == 6  # each pair twice
    value = SeedAri().value(replace(CLEAR, replicates=tuple(members[1:])))
    assert value == pytest.approx(np.mean(pairs))
    assert SeedAri().value(replace(NOISE, replicates=(members[2], CLEAR))) == pytest.approx(value)


def test_a_training_that_failed_agrees_with_none() -> None:
    failed = example_run(np.zeros((N, 2)), QUICK)
    assert SeedAri().value(replace(CLEAR, replicates=(CLEAR, failed))) == pytest.approx(1 / 3)
    assert SeedAri().value(replace(failed, replicates=(CLEAR, CLEAR))) == pytest.approx(1 / 3)


# ---- fitted again


def test_clusters_survive_a_new_draw_and_noise_does_not() -> None:
    assert BootstrapStability().value(CLEAR) > 0.9
    assert BootstrapStability().value(NOISE) < 0.7


def test_draws_depend_on_the_study_only() -> None:
    first = BootstrapStability(resamples=3).value(NOISE)
    assert BootstrapStability(resamples=3).value(NOISE) == first
    other = replace(NOISE, comparison=replace(NOISE.comparison, seed=1))
    assert BootstrapStability(resamples=3).value(other) != first


def test_stability_does_not_depend_on_the_scale_of_raw_latents() -> None:
    flow = Workflow(mixture=Gmm(components=(1, 5), n_init=1, space="raw"))
    z = np.random.default_rng(1).standard_normal((N, 2))
    values = [BootstrapStability(resamples=3).value(run_of(a * z, flow)) for a in (1.0, 2.0**-10)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


# ---- silhouette


def test_silhouette_by_hand() -> None:
    """0, 1, 2 and 10, 11, 12: a = 1.5, 1, 1.5 and b = 11, 10, 9 in both components."""
    line = np.array([(0.0,), (1.0,), (2.0,), (10.0,), (11.0,), (12.0,)])
    two = GaussianMixtureFit(
        n_components=2,
        n_points=6,
        latent_dim=1,
        n_free=5,
        log_likelihood_total=0.0,
        entropy_total=0.0,
        map_log_responsibility_total=0.0,
        weights=np.array([0.5, 0.5]),
        means=np.array([(1.0,), (11.0,)]),
        covariances=np.ones((2, 1, 1)),
    )
    mixture = replace(
        CLEAR.mixture,
        fits=(two,),
        chosen=0,
        shift=np.zeros(1),
        transform=np.eye(1),
        fit_index=np.arange(6),
    )
    run = replace(CLEAR, latents=replace(CLEAR.latents, z_mean=line), mixture=mixture)
    expected = 1 - (1.5 / 11 + 1 / 10 + 1.5 / 9) / 3
    assert Silhouette(components=2).value(run) == pytest.approx(expected)


def test_silhouette_looks_at_fitted_points_in_fit_space() -> None:
    from sklearn.metrics import silhouette_score

    rows = NOISE.mixture.fit_index
    assert len(rows) < N
    z = NOISE.latents.z[rows]
    scaled = (z - NOISE.mixture.shift) @ NOISE.mixture.transform.T
    fit = next(fit for fit in NOISE.mixture.fits if fit.n_components == 5)
    labels = kernel.log_joint(scaled, fit.weights, fit.means, fit.covariances).argmax(axis=1)
    assert Silhouette().value(NOISE) == pytest.approx(silhouette_score(scaled, labels))


def test_silhouette_at_the_chosen_k() -> None:
    assert NOISE.mixture.best is not None
    assert NOISE.mixture.best.n_components == 1
    chosen = Silhouette(components="chosen")
    assert chosen.value(NOISE) == 0.0
    assert CLEAR.mixture.best is not None
    k = CLEAR.mixture.best.n_components
    assert k > 1
    assert chosen.value(CLEAR) == Silhouette(components=k).value(CLEAR)
    assert chosen.components_needed == ()
    assert chosen.label == "silhouette(K=chosen)"
