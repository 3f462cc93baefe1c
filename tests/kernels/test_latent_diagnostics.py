"""Health of latent units against numbers worked by hand; ddof = 0 throughout."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import numpy as np
import pytest
from numpy.typing import ArrayLike

from vaeopt.core.types import LatentDiagnostics
from vaeopt.kernels.latent import unit_diagnostics


def _diagnose(mean: ArrayLike, std: ArrayLike = 0.1, **codes: ArrayLike) -> LatentDiagnostics:
    z = np.asarray(mean, dtype=np.float64)
    none = np.zeros((len(z), 0))
    return unit_diagnostics(
        z,
        np.broadcast_to(np.asarray(std, dtype=np.float64), z.shape),
        np.asarray(codes.get("code_mean", none)),
        np.asarray(codes.get("code_std", none)),
    )


T7 = _diagnose([(1, 0.2), (-0.5, 0.1), (0.3, -0.1), (2, 0)])
T8 = _diagnose([(0.5, -1.2, 0.01)], [(0.3, 0.8, 0.99)])
T9 = _diagnose([(1, 1.1), (-1, -0.9), (0.5, 0.4), (-0.5, -0.6)])


def test_T7_variances_of_the_units() -> None:
    np.testing.assert_allclose(T7.variance, [0.845, 0.0125], rtol=1e-9)


def test_T7_combined_variances() -> None:
    assert T7.variance_product == pytest.approx(0.0105625, rel=1e-9)
    assert T7.variance_total == pytest.approx(0.8575, rel=1e-9)
    assert T7.variance_geomean == pytest.approx(0.102774, abs=1e-6)


def test_T8_kl_of_each_unit_is_its_mean_over_patches() -> None:
    np.testing.assert_allclose(T8.kl_nats, [0.873973, 0.763144, 0.000150], atol=1e-6)
    twice = _diagnose([(0.5,), (-1.2,)], [(0.3,), (0.8,)])
    np.testing.assert_allclose(twice.kl_nats, [(0.873973 + 0.763144) / 2], atol=1e-6)


def test_T8_the_rate_is_the_sum_over_units() -> None:
    assert T8.rate_nats == pytest.approx(1.637266, abs=1e-6)


def test_the_rate_counts_the_pose_too() -> None:
    posed = _diagnose([(0.5, -1.2)], [(0.3, 0.8)], code_mean=[[0.01]], code_std=[[0.99]])
    np.testing.assert_allclose(posed.code_kl_nats, [0.000150], atol=1e-6)
    assert posed.rate_nats == pytest.approx(1.637266, abs=1e-6)


def test_T9_eigenvalues_see_an_oblique_collapse() -> None:
    np.testing.assert_allclose(T9.eigenvalues, [0.004980, 1.255020], atol=1e-6)
    assert T9.eigenvalues[0] / T9.eigenvalues[1] == pytest.approx(0.003968, abs=1e-6)


def test_T9_the_generalised_variance_sees_what_the_product_misses() -> None:
    assert T9.variance_product == pytest.approx(0.396875, rel=1e-9)
    assert T9.generalised_variance == pytest.approx(0.00625, rel=1e-9)


def test_signal_noise_information_and_activity() -> None:
    found = _diagnose([(1.0, 0.05), (-1.0, -0.05)], [(0.5, 0.2), (0.1, 0.4)])
    np.testing.assert_allclose(found.noise, [0.13, 0.1], rtol=1e-9)
    np.testing.assert_allclose(found.snr, [1 / 0.13, 0.0025 / 0.1], rtol=1e-9)
    np.testing.assert_allclose(found.information_nats, np.log1p(found.snr) / 2, rtol=1e-12)
    assert found.active.tolist() == [True, False]


def test_duplicates_and_a_single_latent_have_their_numbers_too() -> None:
    constant = _diagnose(np.full((6, 2), 0.3))
    assert constant.variance_product == 0.0
    assert (constant.eigenvalues >= 0).all()
    assert _diagnose([(1.0,), (-1.0,)]).eigenvalues.tolist() == [1.0]


def test_a_posterior_without_width_is_informative_but_finite() -> None:
    found = _diagnose(
        [(1.0, 0.5), (-1.0, 0.0)], 0.0, code_mean=[[0.1], [0.2]], code_std=[[0.0], [1.0]]
    )
    assert np.isfinite(found.snr).all()
    assert (found.snr > 1e100).all()
    assert np.isfinite(found.rate_nats)
    assert found.rate_nats > 100
