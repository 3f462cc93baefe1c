"""Overlap of Gaussian components (semantics 6.4)."""

import numpy as np
import pytest

from vaeopt.kernels.mixture.reference import bhattacharyya, overlap

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
    assert overlap([0.5, 0.3, 0.2], _MEANS, _COVARIANCES) == pytest.approx(0.111934, abs=1e-6)


def test_overlap_is_symmetric_and_one_with_itself() -> None:
    coefficient = bhattacharyya(_MEANS, _COVARIANCES)
    np.testing.assert_allclose(coefficient, coefficient.T)
    np.testing.assert_allclose(np.diag(coefficient), 1.0)
