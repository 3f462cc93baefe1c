"""Mixtures of many sets at once against those of one set at a time, and that no GPU waits."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from vaeopt.kernels.mixture import batch, climb, starts
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.batch import Layout
from vaeopt.kernels.mixture.em import EmFit, fit_grid
from vaeopt.kernels.mixture.stacked import batch as stacked_batch
from vaeopt.kernels.mixture.stacked import climb as stacked_climb
from vaeopt.kernels.mixture.stacked import starts as stacked_starts
from vaeopt.kernels.mixture.stacked.batch import Places
from vaeopt.kernels.mixture.stacked.em import fit_grids

Array = NDArray[np.float64]
LAYOUT = Layout((1, 2, 2, 4))
CPU = torch.device("cpu")


def _sets(n_sets: int, n: int, d: int) -> Array:
    """Clouds of clusters, heavy tails and none in turn, each of unit variance."""
    rng = np.random.default_rng([n, d])
    z = rng.standard_normal((n_sets, n, d))
    for t in range(n_sets):
        if t % 3 == 0:
            z[t] += rng.uniform(-6, 6, (3, d))[rng.integers(3, size=n)]
        elif t % 3 == 1:
            z[t] /= np.sqrt(rng.chisquare(3, (n, 1)) / 3)
    z -= z.mean(axis=1, keepdims=True)
    return np.asarray(z / z.std(axis=1, keepdims=True))


def _started(points: Array) -> tuple[torch.Tensor, list[climb.Starts], torch.Tensor]:
    """Features, starts of every set alone, ridges."""
    phi = torch.stack([batch.features(torch.from_numpy(own)) for own in points])
    seeded = [
        starts.seeded(torch.from_numpy(own), f, (1, 2, 4), 2, np.random.default_rng(t))
        for t, (own, f) in enumerate(zip(points, phi, strict=True))
    ]
    ridge = (
        torch.eye(points.shape[2], dtype=torch.float64)
        * torch.tensor([1e-6, 2e-6, 1e-3])[: len(points), None, None]
    )
    return phi, seeded, ridge


def _stack(alone: Sequence[climb.Starts]) -> stacked_climb.Stack:
    return stacked_climb.fresh(alone[0].layout, torch.stack([own.statistics for own in alone]))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("numbers", [1, 2**26], ids=["blocks", "whole"])
def test_expectation_and_assignment(d: int, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_batch, "_NUMBERS", numbers)
    phi, alone, ridge = _started(_sets(3, 150, d))
    phi[0] *= 30.0  # so far out that the shift is needed
    layout, stack = alone[0].layout, _stack(alone)
    parameters = stacked_batch.maximise(stack.statistics, ridge)
    value, statistics = stacked_batch.expect(phi, parameters.coefficients, layout)
    nearest = stacked_batch.assign(phi, parameters.coefficients, layout)
    for t, own in enumerate(alone):
        expected = batch.maximise(own.statistics, ridge[t])
        for name in ("weights", "means", "covariances", "coefficients", "proper"):
            ours, theirs = getattr(parameters, name)[t], getattr(expected, name)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=name)
        v, s = batch.expect(phi[t], expected.coefficients, layout)
        np.testing.assert_allclose(value[t], v, rtol=1e-10)
        np.testing.assert_allclose(statistics[t], s, rtol=1e-9, atol=1e-10)
        s = batch.assign(phi[t], expected.coefficients, layout)
        np.testing.assert_allclose(nearest[t], s, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("steps", "rtol"), [(1, 1e-12), (14, 1e-11), (60, 1e-8), (400, 1e-7)])
def test_a_climb_takes_the_same_steps(steps: int, rtol: float) -> None:
    """Extrapolations that lose, starts that end early and others that do not are all met.

    A different order of sums grows with the steps: along flat ridges slowly, but without bound.
    """
    phi, alone, ridge = _started(_sets(3, 250, 2))
    together = stacked_climb.climb(phi, _stack(alone), ridge, steps=steps, tol=1e-6)
    for t, own in enumerate(alone):
        expected = climb.climb(phi[t], own, ridge[t], steps=steps, tol=1e-6)
        np.testing.assert_allclose(together.value[t], expected.value, rtol=rtol)
        np.testing.assert_array_equal(together.settled[t], expected.settled)
        np.testing.assert_allclose(together.statistics[t], expected.statistics, atol=1e4 * rtol)
    assert together.real.all()


def test_a_start_with_a_singular_covariance_is_left_where_it_is() -> None:
    points = np.repeat([[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]], 10, axis=1)
    phi, alone, _ = _started(points)
    none = torch.zeros(1, 2, 2, dtype=torch.float64)
    found = stacked_climb.climb(phi, _stack(alone), none, steps=20, tol=1e-6)
    expected = climb.climb(phi[0], alone[0], none[0], steps=20, tol=1e-6)
    assert not expected.value.isfinite().all()
    np.testing.assert_allclose(found.value[0], expected.value, rtol=1e-12)


def test_the_best_are_chosen_and_sets_with_fewer_are_filled_up() -> None:
    layout = Layout((2, 2, 2, 3))
    weights = torch.tensor([[0.4, 0.6, 0.1, 0.9, 0.5, 0.5, 0.2, 0.3, 0.5]] * 2)
    statistics = weights.double()[..., None] * torch.ones(6)
    stack = stacked_climb.fresh(layout, statistics)
    # In the first set the last start of K = 2 is the first once more.
    value = torch.tensor([[1.0, 9.0, 1.0, -math.inf], [1.0, 2.0, 3.0, 4.0]])
    stack = stacked_climb.Stack(layout, statistics, value.double(), stack.settled, stack.real)
    found = stacked_climb.best(stack, 2, least=0.15, gap=1e-5)
    assert found.layout.sizes == (2, 2, 3)
    # The second start is light: last of all.
    assert found.value[:, :2].tolist() == [[1.0, 9.0], [1.0, 3.0]]
    assert found.real.tolist() == [[True, True, True], [True, True, True]]
    found = stacked_climb.best(found, 2, least=0.0, gap=3.0)
    assert found.value.tolist() == [[1.0, 9.0, -math.inf], [1.0, 3.0, 4.0]]
    assert found.real.tolist() == [[True, True, True], [False, True, True]]
    again = stacked_climb.best(found, 2, least=0.0)
    assert again.real.tolist() == found.real.tolist()
    assert again.layout == found.layout


def test_starts_that_are_not_real_are_not_taken_anywhere() -> None:
    phi, alone, ridge = _started(_sets(2, 250, 2))
    stack = _stack(alone)
    real = torch.tensor([[True] * 6, [True] * 3 + [False] + [True] * 2])
    stack = stacked_climb.Stack(stack.layout, stack.statistics, stack.value, stack.settled, real)
    found = stacked_climb.climb(phi, stack, ridge, steps=20, tol=1e-6)
    assert found.value.isfinite().tolist() == real.tolist()


def test_neighbours_are_those_of_every_set_alone() -> None:
    points = _sets(2, 250, 3)
    phi, _, ridge = _started(points)
    seeded = [
        starts.seeded(torch.from_numpy(own), f, (1, 2, 3, 4), 1, np.random.default_rng(0))
        for own, f in zip(points, phi, strict=True)
    ]
    together = stacked_starts.neighbours(_stack(seeded), ridge)
    assert together is not None
    for t, own in enumerate(seeded):
        expected = starts.neighbours(own, ridge[t])
        assert expected is not None
        assert together.layout == expected.layout
        np.testing.assert_allclose(together.statistics[t], expected.statistics, atol=1e-12)
    single = _stack([own.take(torch.tensor([0])) for own in seeded])
    assert stacked_starts.neighbours(single, ridge) is None


def _value(points: Array, fit: EmFit) -> float:
    joint = kernel.log_joint(points, fit.weights, fit.means, fit.covariances)
    return float(kernel.log_likelihood(joint).mean())


@pytest.mark.parametrize(("n", "d"), [(250, 2), (1100, 3)])
def test_grids_together_are_the_grids_alone(n: int, d: int) -> None:
    points = 3 * _sets(3, n, d) + 5
    together = fit_grids(
        points, range(1, 5), starts=2, reg_covar=[1e-6, 1e-6, 1e-2], seeds=[4, 5, 6], device=CPU
    )
    for t, (own, reg) in enumerate(zip(points, (1e-6, 1e-6, 1e-2), strict=True)):
        alone = fit_grid(own, range(1, 5), starts=2, reg_covar=reg, seed=4 + t)
        for ours, theirs in zip(together[t], alone, strict=True):
            assert (ours.converged, ours.proper) == (theirs.converged, theirs.proper)
            assert _value(own, ours) == pytest.approx(_value(own, theirs), abs=1e-8)


# ---- the device


def test_an_iteration_never_leaves_the_gpu() -> None:
    """Tensors without numbers, on a device that is not the CPU: a look at one would raise."""
    tol, device = 1e-6, torch.device("meta")
    with FakeTensorMode(allow_non_fake_inputs=False):
        phi = torch.empty(3, 6, 250, dtype=torch.float64, device=device)
        ridge = torch.empty(3, 2, 2, dtype=torch.float64, device=device)
        statistics = torch.empty(3, 9, 6, dtype=torch.float64, device=device)
        stack = stacked_climb.fresh(LAYOUT, statistics)
        way = stacked_climb.begin(stack, ridge, 20)
        places = Places.of(LAYOUT, device)
        after = stacked_climb.iterate(phi, way, ridge, LAYOUT, places, tol)
        for name, before in vars(way).items():
            found = getattr(after, name)
            assert (found.shape, found.dtype) == (before.shape, before.dtype), name
            assert found.device.type == "meta", name
        tensors = [id(t) for t in vars(way).values()]
        way.become(after)
        assert [id(t) for t in vars(way).values()] == tensors
        moved = stacked_batch.assign(phi, after.coefficients, LAYOUT)
        assert moved.device.type == "meta"
        # The guard works: the engine of the CPU looks at numbers.
        with pytest.raises(DataDependentOutputException):
            batch.expect(phi[0], way.coefficients[0], LAYOUT)


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "d"), [(250, 1), (1100, 2), (2000, 5)])
def test_a_gpu_and_the_cpu_agree(n: int, d: int) -> None:
    points = _sets(4, n, d)
    together = fit_grids(
        points, range(1, 7), reg_covar=[1e-6] * 4, seeds=range(4), device=torch.device("cuda")
    )
    for t, own in enumerate(points):
        for ours, theirs in zip(together[t], fit_grid(own, range(1, 7), seed=t), strict=True):
            assert ours.proper == theirs.proper
            # Rounding may lead one of many starts elsewhere, never far.
            assert _value(own, ours) == pytest.approx(_value(own, theirs), abs=1e-5)
