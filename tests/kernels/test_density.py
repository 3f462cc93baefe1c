"""Kernel density estimates against numbers and scipy."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from vaeopt.kernels.density import blocked, log_density, log_density_loo, reference, scott_bandwidth

T12 = np.array([(0, 0), (0.02, 0), (0, 0.03), (0.5, 0.5), (0.52, 0.5), (2, 2)])


def test_T12_relative_density_with_each_point_in_its_own() -> None:
    density = log_density(T12, 0.05)
    expected = [1, 0.976719, 0.944872, 0.697189, 0.697189, 0.362531]
    np.testing.assert_allclose(np.exp(density - density.max()), expected, atol=1e-6)


def test_T12_leave_one_out_log_density() -> None:
    # Checked to 30 digits with mpmath.
    expected = [-1.060957, -1.050486, -1.045838, -1.300348, -1.321597, -10.305024]
    np.testing.assert_allclose(log_density_loo(T12, 0.5), expected, atol=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_density_is_that_of_scipy_with_the_same_kernel(d: int) -> None:
    points = np.random.default_rng(0).normal(size=(40, d))
    kernels = stats.multivariate_normal(np.zeros(d), 0.3**2 * np.eye(d))
    expected = [np.log(kernels.pdf(p - points).mean()) for p in points]
    np.testing.assert_allclose(log_density(points, 0.3), expected, rtol=1e-9)


def test_leaving_a_point_out_is_the_density_of_the_others_there() -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    kernels = stats.multivariate_normal(np.zeros(2), 0.3**2 * np.eye(2))
    expected = [
        np.log(kernels.pdf(points[i] - np.delete(points, i, axis=0)).mean()) for i in range(20)
    ]
    np.testing.assert_allclose(log_density_loo(points, 0.3), expected, rtol=1e-9)


@pytest.mark.parametrize("module", [reference, blocked])
@pytest.mark.parametrize("name", ["log_density", "log_density_loo"])
def test_blocks_of_rows_do_not_show(
    name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).normal(size=(50, 2))
    whole = getattr(module, name)(points, 0.4)
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_allclose(getattr(module, name)(points, 0.4), whole, rtol=1e-12)


@pytest.mark.parametrize("bandwidth", [1e-3, 0.05, 0.4, 50.0])
@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("name", ["log_density", "log_density_loo"])
def test_the_fast_density_is_the_reference(name: str, d: int, bandwidth: float) -> None:
    """Also for points so lonely that their density underflows, and for copies."""
    points = np.random.default_rng(d).normal(size=(600, d))
    points[0] += 40.0
    points[1] = points[2]
    fast, slow = (getattr(module, name)(points, bandwidth) for module in (blocked, reference))
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-6 * (bandwidth < 0.01) + 1e-9)


def test_an_outlier_is_the_sparsest_point_and_not_nan() -> None:
    points = np.vstack([np.zeros((5, 2)), [(1e6, 1e6)]])
    density = log_density_loo(points, 0.1)
    assert np.isfinite(density[:5]).all()
    assert density.argmin() == 5
    assert density[5] < -1e10


def test_a_single_point_has_no_neighbours() -> None:
    assert log_density_loo(np.zeros((1, 2)), 0.1).tolist() == [-np.inf]
    assert log_density_loo(np.zeros((0, 2)), 0.1).shape == (0,)


@pytest.mark.parametrize(
    ("n", "d", "bandwidth"), [(1000, 2, 0.316228), (32, 1, 0.5), (256, 4, 0.5)]
)
def test_scotts_rule(n: int, d: int, bandwidth: float) -> None:
    assert scott_bandwidth(n, d) == pytest.approx(bandwidth, abs=1e-6)


@pytest.mark.parametrize("pairs", [1, 64 * 700, 2**26], ids=["rows", "blocks", "whole"])
@pytest.mark.parametrize("bandwidth", [0.05, 0.4, 50.0])
def test_large_blocks_of_a_gpu_are_the_small_ones_of_the_cpu(
    pairs: int, bandwidth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).normal(size=(700, 2))
    small = [blocked.log_density(points, bandwidth), blocked.log_density_loo(points, bandwidth)]
    monkeypatch.setattr(blocked, "_DEVICE_PAIRS", pairs)
    monkeypatch.setattr(blocked, "_by_pairs", blocked._by_rows)
    large = [blocked.log_density(points, bandwidth), blocked.log_density_loo(points, bandwidth)]
    np.testing.assert_allclose(large, small, rtol=1e-12)


def test_a_block_never_leaves_the_gpu() -> None:
    """Tensors without numbers, on a device that is not the CPU: a look at one would raise."""
    with FakeTensorMode():
        points = torch.empty(700, 4, dtype=torch.float64, device="meta")
        sums = blocked._by_rows(points, points)
        assert sums.device.type == "meta"
        assert sums.shape == (700,)


@pytest.mark.gpu
@pytest.mark.parametrize("bandwidth", [1e-3, 0.05, 0.4, 50.0])
@pytest.mark.parametrize("name", ["log_density", "log_density_loo"])
def test_a_gpu_and_the_cpu_agree(name: str, bandwidth: float) -> None:
    points = np.random.default_rng(0).normal(size=(3000, 2))
    gpu = getattr(blocked, name)(points, bandwidth, device=torch.device("cuda"))
    np.testing.assert_allclose(gpu, getattr(blocked, name)(points, bandwidth), rtol=1e-9)
