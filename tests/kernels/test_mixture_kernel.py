"""Densities of Gaussian mixtures and the criteria built on them, against numbers and laws."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from vaeopt.kernels.mixture import reference as kernel

Array = NDArray[np.float64]
X = np.array([(0, 0), (1, 0.5), (2, 1), (-1, 0.2), (3, 2)])
WEIGHTS = np.array([0.6, 0.4])
MEANS = np.array([(0.0, 0.0), (2.0, 1.0)])
COVARIANCES = np.array([[[1, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 0.8]]])
JOINT = kernel.log_joint(X, WEIGHTS, MEANS, COVARIANCES)
TAU = kernel.responsibilities(JOINT)
LIKELIHOOD = float(kernel.log_likelihood(JOINT).sum())
ENTROPY = kernel.entropy(TAU)
BIC = kernel.bic(LIKELIHOOD, 11, 5)
LINEAR, SHIFT = np.array([[2, 0.5], [0, 0.1]]), np.array([3.0, -1.0])


def _single_cost(points: Array) -> float:
    """J_1: maximum likelihood with one Gaussian."""
    joint = kernel.log_joint(
        points, [1.0], points.mean(0)[None], np.cov(points, rowvar=False, ddof=0)[None]
    )
    bic = kernel.bic(float(kernel.log_likelihood(joint).sum()), 5, len(points))
    return kernel.structural_cost(bic, 0.0, len(points), 1.0)


def _double_cost(points: Array, means: Array, covariances: Array, weight: float = 1.0) -> float:
    joint = kernel.log_joint(points, WEIGHTS, means, covariances)
    bic = kernel.bic(float(kernel.log_likelihood(joint).sum()), 11, len(points))
    entropy = kernel.entropy(kernel.responsibilities(joint))
    return kernel.structural_cost(bic, entropy, len(points), weight)


def test_T1_log_likelihood_per_point_and_in_total() -> None:
    expected = [-1.901695, -2.216983, -2.032972, -2.707778, -4.395446]
    np.testing.assert_allclose(kernel.log_likelihood(JOINT), expected, atol=1e-6)
    assert kernel.log_likelihood(JOINT).sum() == pytest.approx(-13.254873, abs=1e-6)


def test_T1_responsibilities() -> None:
    expected = [0.998792, 0.790807, 0.126812, 0.999995, 0.030713]
    np.testing.assert_allclose(TAU[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(TAU.sum(axis=1), 1.0, rtol=1e-12)


def test_T2_free_parameters() -> None:
    assert kernel.n_free_parameters(2, 2) == 11
    assert kernel.n_free_parameters(1, 3) == 9


def test_T2_bic_and_aic() -> None:
    assert kernel.bic(LIKELIHOOD, 11, 5) == pytest.approx(44.213562, abs=1e-6)
    assert kernel.aic(LIKELIHOOD, 11) == pytest.approx(48.509745, abs=1e-6)


def test_T2_entropy() -> None:
    entropy = kernel.entropy(TAU)
    assert entropy == pytest.approx(1.039767, abs=1e-6)
    assert entropy / 5 == pytest.approx(0.207953, abs=1e-6)
    assert entropy / 5 / np.log(2) == pytest.approx(0.300013, abs=1e-6)


def test_T3_forms_of_icl() -> None:
    assert kernel.icl_paper(BIC, ENTROPY) == pytest.approx(45.253329, abs=1e-6)
    assert kernel.icl_soft(BIC, ENTROPY) == pytest.approx(46.293096, abs=1e-6)
    assert kernel.icl_soft(BIC, ENTROPY) / 2 == pytest.approx(23.146548, abs=1e-6)  # icl_half
    assert kernel.icl_quarter(BIC, ENTROPY) == pytest.approx(12.093158, abs=1e-6)


def test_T3_hard_icl() -> None:
    most_probable = float(np.log(TAU.max(axis=1)).sum())
    assert kernel.icl_hard(BIC, most_probable) == pytest.approx(45.018990, abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "cost"), [(0, 4.421356), (0.5, 4.525333), (1, 4.629310), (2, 4.837264)]
)
def test_T3_structural_cost(weight: float, cost: float) -> None:
    assert kernel.structural_cost(BIC, ENTROPY, 5, weight) == pytest.approx(cost, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "factor", "weight"),
    [(kernel.icl_paper, 10, 0.5), (kernel.icl_soft, 10, 1), (kernel.icl_quarter, 2.5, 2)],
    ids=["paper", "soft", "quarter"],
)
def test_T3_every_form_is_a_multiple_of_the_structural_cost(
    form: Callable[[float, float], float], factor: float, weight: float
) -> None:
    expected = factor * kernel.structural_cost(BIC, ENTROPY, 5, weight)
    assert form(BIC, ENTROPY) == pytest.approx(expected, rel=1e-12)


def test_T4_one_gaussian_beats_the_mixture() -> None:
    assert _single_cost(X) == pytest.approx(2.769394, abs=1e-6)
    gain = _single_cost(X) - _double_cost(X, MEANS, COVARIANCES)
    assert gain == pytest.approx(-1.859915, abs=1e-6)


def test_T4_an_affine_map_shifts_both_costs_alike() -> None:
    mapped, means = X @ LINEAR.T + SHIFT, MEANS @ LINEAR.T + SHIFT
    covariances = LINEAR @ COVARIANCES @ LINEAR.T
    single, double = _single_cost(mapped), _double_cost(mapped, means, covariances)
    assert single == pytest.approx(1.159956, abs=1e-6)
    assert double == pytest.approx(3.019872, abs=1e-6)
    assert single - double == pytest.approx(-1.859915, abs=1e-6)
    assert single - _single_cost(X) == pytest.approx(-1.609438, abs=1e-6)


@pytest.mark.parametrize("factor", [0.01, 3.0])
def test_P1_scaling_shifts_the_raw_cost_by_d_log_a(factor: float) -> None:
    before = _double_cost(X, MEANS, COVARIANCES, 0.7)
    after = _double_cost(factor * X, factor * MEANS, factor**2 * COVARIANCES, 0.7)
    assert after - before == pytest.approx(2 * np.log(factor), rel=1e-9)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_P2_the_order_of_components_changes_nothing(order: tuple[int, ...]) -> None:
    weights = np.array([0.5, 0.3, 0.2])
    means = np.vstack([MEANS, [(1, -1)]])
    covariances = np.concatenate([COVARIANCES, 0.25 * np.eye(2)[None]])
    chosen = list(order)
    straight = kernel.log_joint(X, weights, means, covariances)
    permuted = kernel.log_joint(X, weights[chosen], means[chosen], covariances[chosen])
    np.testing.assert_allclose(
        kernel.log_likelihood(permuted), kernel.log_likelihood(straight), rtol=1e-12
    )
    tau = kernel.responsibilities(permuted)
    np.testing.assert_allclose(tau, kernel.responsibilities(straight)[:, chosen], rtol=1e-10)
    assert kernel.entropy(tau) == pytest.approx(
        kernel.entropy(kernel.responsibilities(straight)), rel=1e-12
    )
    assert kernel.perplexity(weights[chosen]) == pytest.approx(kernel.perplexity(weights))


def test_P4_the_entropy_of_certainty_is_exactly_zero() -> None:
    value = kernel.entropy(np.eye(3)[[0, 2, 1, 1]])
    assert value == 0.0
    assert not np.signbit(value)


TAU_10 = np.array([(1, 0, 0), (0.5, 0.5, 0), (0.2, 0.3, 0.5)])
WEIGHTS_10 = np.array([0.40, 0.25, 0.15, 0.09, 0.08, 0.02, 0.01])


def test_T10_entropy() -> None:
    entropy = kernel.entropy(TAU_10)
    assert entropy == pytest.approx(1.722800, abs=1e-6)
    assert entropy / 3 == pytest.approx(0.574267, abs=1e-6)
    assert entropy / 3 / np.log(3) == pytest.approx(0.522720, abs=1e-6)


def test_T10_effective_components_are_strictly_heavier() -> None:
    assert kernel.effective_components(WEIGHTS_10) == 4
    assert kernel.effective_components([0.70, 0.16, 0.14]) == 2  # in binary .2 * .7 < .14


def test_T10_perplexity() -> None:
    assert kernel.perplexity(WEIGHTS_10) == pytest.approx(4.667966, abs=1e-6)


def test_log_joint_is_that_of_scipy() -> None:
    points = np.random.default_rng(0).normal(size=(20, 2)) * 3
    for k in range(2):
        density = stats.multivariate_normal(MEANS[k], COVARIANCES[k]).logpdf(points)
        joint = kernel.log_joint(points, WEIGHTS, MEANS, COVARIANCES)[:, k]
        np.testing.assert_allclose(joint, density + np.log(WEIGHTS[k]), rtol=1e-10)


def test_an_empty_component_takes_nothing() -> None:
    tau = kernel.responsibilities(kernel.log_joint(X, [1.0, 0.0], MEANS, COVARIANCES))
    np.testing.assert_array_equal(tau, np.tile([1.0, 0.0], (5, 1)))
    assert kernel.entropy(tau) == 0.0


def test_points_far_from_everything_still_belong_somewhere() -> None:
    tau = kernel.responsibilities(kernel.log_joint(X + 1e4, WEIGHTS, MEANS, COVARIANCES))
    np.testing.assert_allclose(tau.sum(axis=1), 1.0)


def test_mahalanobis_distance_is_that_of_the_inverse_covariance() -> None:
    centred = X - MEANS[1]
    expected = np.einsum("na,ab,nb->n", centred, np.linalg.inv(COVARIANCES[1]), centred)
    ours = kernel.mahalanobis2(X, MEANS, COVARIANCES)[:, 1]
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


CLOUD = np.random.default_rng(0).normal(size=(300, 2)) @ np.array([[2, 1.5], [0, 0.1]]) + [5, -3]


def test_whitened_points_have_unit_covariance_and_no_mean() -> None:
    shift, matrix = kernel.whitening(CLOUD, "whiten")
    white = (CLOUD - shift) @ matrix.T
    np.testing.assert_allclose(np.cov(white, rowvar=False, ddof=0), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)


def test_standardised_points_have_unit_variance_per_axis() -> None:
    shift, matrix = kernel.whitening(CLOUD, "standard")
    np.testing.assert_allclose(((CLOUD - shift) @ matrix.T).std(axis=0), 1.0, rtol=1e-9)
    assert matrix[0, 1] == matrix[1, 0] == 0.0


def test_raw_space_changes_nothing() -> None:
    shift, matrix = kernel.whitening(CLOUD, "raw")
    np.testing.assert_array_equal((CLOUD - shift) @ matrix.T, CLOUD)


def test_one_latent_can_be_whitened() -> None:
    shift, matrix = kernel.whitening(CLOUD[:, :1], "whiten")
    assert ((CLOUD[:, :1] - shift) @ matrix.T).std() == pytest.approx(1.0)


@pytest.mark.parametrize("space", ["whiten", "standard"])
def test_points_that_do_not_span_the_space_are_refused(space: str) -> None:
    with pytest.raises(np.linalg.LinAlgError, match="do not span the latent space"):
        kernel.whitening(CLOUD * [1.0, 0.0], space)


@pytest.mark.parametrize("space", ["whiten", "standard"])
def test_a_latent_may_be_narrow_but_not_only_rounding(space: str) -> None:
    shift, matrix = kernel.whitening(CLOUD * [1.0, 1e-4], space)
    np.testing.assert_allclose(((CLOUD * [1.0, 1e-4] - shift) @ matrix.T).std(axis=0), 1.0)
    with pytest.raises(np.linalg.LinAlgError, match="do not span the latent space"):
        kernel.whitening(CLOUD * [1.0, 1e-9], space)
