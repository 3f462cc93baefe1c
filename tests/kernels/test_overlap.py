"""Overlap of Gaussian components (semantics 6.4)."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.kernels.mixture import bayesian
from vaeopt.kernels.mixture.reference import bhattacharyya, log_joint, log_likelihood, overlap

_WEIGHTS = [0.5, 0.3, 0.2]
_MEANS = [(0.0, 0.0), (2.0, 1.0), (1.0, -1.0)]
_COVARIANCES = [[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 0.8]], [[0.25, 0.0], [0.0, 0.25]]]


def test_T5_bhattacharyya_of_two_gaussians() -> None:  # noqa: N802  # name of the vector
    coefficient = bhattacharyya(_MEANS[:2], _COVARIANCES[:2])
    assert coefficient[0, 1] == pytest.approx(0.396348, abs=1e-6)
    assert -np.log(coefficient[0, 1]) == pytest.approx(0.925462, abs=1e-6)
    identity = np.broadcast_to(np.eye(2), (2, 2, 2))
    assert bhattacharyya([(0, 0), (2, 0)], identity)[0, 1] == pytest.approx(0.606531, abs=1e-6)


def test_T6_weighted_overlap_of_three_gaussians() -> None:  # noqa: N802  # name of the vector
    coefficient = bhattacharyya(_MEANS, _COVARIANCES)
    assert coefficient[0, 2] == pytest.approx(0.403682, abs=1e-6)
    assert coefficient[1, 2] == pytest.approx(0.201897, abs=1e-6)
    assert overlap(_WEIGHTS, _MEANS, _COVARIANCES) == pytest.approx(0.111934, abs=1e-6)


def test_T6_plain_sum_of_the_overlap() -> None:  # noqa: N802  # name of the vector
    total = overlap(_WEIGHTS, _MEANS, _COVARIANCES, weighted=False)
    assert total == pytest.approx(1.001927, abs=1e-6)
    assert total / 3 == pytest.approx(0.333976, abs=1e-6)


def _tensors() -> tuple[Tensor, Tensor, Tensor]:
    covariances = torch.tensor(_COVARIANCES, dtype=torch.float64)
    return (
        torch.tensor(_WEIGHTS, dtype=torch.float64),
        torch.tensor(_MEANS, dtype=torch.float64),
        torch.linalg.cholesky(covariances),
    )


@pytest.mark.parametrize("weighted", [True, False])
def test_the_overlap_with_gradients_is_the_same(weighted: bool) -> None:
    weights, means, roots = _tensors()
    means.requires_grad_()
    found = bayesian.overlap(weights, means, roots, weighted=weighted)
    expected = overlap(_WEIGHTS, _MEANS, _COVARIANCES, weighted=weighted)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    (slope,) = torch.autograd.grad(found, means)
    step = 1e-6
    moved = [(0.0, step), *_MEANS[1:]]
    risen = overlap(_WEIGHTS, moved, _COVARIANCES, weighted=weighted)
    assert slope[0, 1].item() == pytest.approx((risen - expected) / step, abs=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_log_density_is_that_of_torch_distributions(d: int) -> None:
    rng = np.random.default_rng(d)
    k = 4
    points = torch.tensor(rng.standard_normal((30, d)))
    weights, means = torch.tensor(rng.dirichlet(np.ones(k))), torch.tensor(rng.normal(size=(k, d)))
    root = np.tril(rng.normal(size=(k, d, d)), -1) + np.eye(d) * rng.uniform(0.05, 1, (k, 1, d))
    roots = torch.tensor(root)
    found = bayesian.log_density(points, weights.log(), means, roots)
    peer: Any = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.MultivariateNormal(means, scale_tril=roots),
    )
    torch.testing.assert_close(found, peer.log_prob(points), rtol=1e-10, atol=1e-10)
    covariances = root @ root.transpose(0, 2, 1)
    numpys = log_likelihood(log_joint(points, weights, means, covariances))
    np.testing.assert_allclose(found.numpy(), numpys, rtol=1e-8)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_the_overlap_does_not_change_with_the_scale(factor: float) -> None:
    weights, means, roots = _tensors()
    scaled = bayesian.overlap(weights, factor * means, factor * roots)
    torch.testing.assert_close(scaled, bayesian.overlap(weights, means, roots))


def test_overlap_is_symmetric_and_one_with_itself() -> None:
    coefficient = bhattacharyya(_MEANS, _COVARIANCES)
    np.testing.assert_allclose(coefficient, coefficient.T)
    np.testing.assert_allclose(np.diag(coefficient), 1.0)
