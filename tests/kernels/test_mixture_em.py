"""The batched mixtures against the readable formulas, scikit-learn and numbers worked by hand."""

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaeopt.kernels.mixture import batch
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.climb import Starts, climb, fresh
from vaeopt.kernels.mixture.em import EmFit, fit_grid
from vaeopt.kernels.mixture.starts import neighbours

Array = NDArray[np.float64]
LAYOUT = batch.Layout((1, 2, 2, 4))


def _components(d: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Weights, means and covariances of the nine components of the layout; some very small."""
    rng = np.random.default_rng(seed)
    weights = np.concatenate([rng.dirichlet(np.ones(k)) for k in LAYOUT.sizes])
    means = 3 * rng.standard_normal((9, d))
    factors = rng.standard_normal((9, d, d)) * rng.choice([1e-3, 0.1, 1], (9, 1, 1))
    return weights, means, factors @ factors.transpose(0, 2, 1) + 1e-6 * np.eye(d)


def _statistics(weights: Array, means: Array, covariances: Array) -> torch.Tensor:
    row, column = np.triu_indices(means.shape[1])
    second = covariances[:, row, column] + means[:, row] * means[:, column]
    columns = [np.ones((len(means), 1)), means, second]
    return torch.from_numpy(weights[:, None] * np.concatenate(columns, axis=1))


def _points(d: int, means: Array) -> Array:
    """A cloud, points inside the small components, and one so far that all densities vanish."""
    rng = np.random.default_rng(1)
    near = means + 1e-3 * rng.standard_normal(means.shape)
    return np.concatenate([3 * rng.standard_normal((200, d)), near, np.full((1, d), 200.0)])


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_products_of_features_are_the_reference(d: int, far: bool) -> None:
    weights, means, covariances = _components(d)
    points = _points(d, means)
    points = points if far else points[:-1]
    parameters = batch.maximise(
        _statistics(weights, means, covariances), torch.zeros(d, d, dtype=torch.float64)
    )
    assert parameters.proper.all()
    np.testing.assert_allclose(parameters.covariances, covariances, atol=1e-10)
    phi = batch.features(torch.from_numpy(points))
    value, statistics = batch.expect(phi, parameters.coefficients, LAYOUT)
    for start, (_, rows) in enumerate(zip(LAYOUT.sizes, _spans(), strict=True)):
        # Statistics lose digits of tiny covariances; the products must not lose more.
        own = (weights[rows], means[rows], parameters.covariances[rows].numpy())
        joint = kernel.log_joint(points, *own)
        assert float(value[start]) == pytest.approx(kernel.log_likelihood(joint).mean(), rel=1e-7)
        expected = kernel.responsibilities(joint).T @ phi.T.numpy() / len(points)
        np.testing.assert_allclose(statistics[rows], expected, atol=1e-6)


def _spans() -> list[slice]:
    ends = np.cumsum(LAYOUT.sizes)
    return [slice(int(end - k), int(end)) for end, k in zip(ends, LAYOUT.sizes, strict=True)]


def test_blocks_of_points_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, means, covariances = _components(2)
    phi = batch.features(torch.from_numpy(_points(2, means)))
    ridge = torch.zeros(2, 2, dtype=torch.float64)
    coefficients = batch.maximise(_statistics(weights, means, covariances), ridge).coefficients
    whole = batch.expect(phi, coefficients, LAYOUT)
    monkeypatch.setattr(batch, "_TALL", 1)  # 64 points each
    for once, blocked in zip(whole, batch.expect(phi, coefficients, LAYOUT), strict=True):
        np.testing.assert_allclose(once, blocked, rtol=1e-11, atol=1e-14)


def test_equal_centres_share_their_points() -> None:
    """Centres 0, 0 and 4; points -1, 1 and 5."""
    phi = batch.features(torch.tensor([[-1.0], [1.0], [5.0]], dtype=torch.float64))
    centres = torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    coefficients = torch.stack([-(centres**2) / 2, centres, 0 * centres], dim=1)
    found = 3 * batch.assign(phi, coefficients, batch.Layout((3,)))
    np.testing.assert_allclose(found, [[1, 0, 1], [1, 0, 1], [1, 5, 25]])


def test_a_covariance_without_an_inverse_is_named() -> None:
    statistics = _statistics(
        np.array([0.5, 0.5]), np.zeros((2, 2)), np.array([np.eye(2), np.diag([1.0, 0.0])])
    )
    none = torch.zeros(2, 2, dtype=torch.float64)
    found = batch.maximise(statistics, none)
    assert found.proper.tolist() == [True, False]
    assert torch.isfinite(found.coefficients).all()
    assert batch.maximise(statistics, none + 1e-6 * torch.eye(2)).proper.all()


# ---- climbing


def _cloud(shape: str, d: int, n: int = 250, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, d))
    if shape == "clusters":
        z += rng.uniform(-6, 6, (3, d))[rng.integers(3, size=n)]
    elif shape == "heavy":
        z /= np.sqrt(rng.chisquare(3, (n, 1)) / 3)
    elif shape == "uniform":
        z = rng.uniform(-1, 1, (n, d))
    return np.asarray((z - z.mean(axis=0)) / z.std(axis=0))


def _started(points: Array, seed: int = 0) -> tuple[torch.Tensor, Starts, torch.Tensor]:
    phi = batch.features(torch.from_numpy(points))
    means = np.random.default_rng(seed).standard_normal((9, points.shape[1]))
    covariances = np.tile(np.eye(points.shape[1]), (9, 1, 1))
    weights = np.concatenate([np.full(k, 1 / k) for k in LAYOUT.sizes])
    ridge = 1e-6 * torch.eye(points.shape[1], dtype=torch.float64)
    return phi, fresh(LAYOUT, _statistics(weights, means, covariances)), ridge


@pytest.mark.parametrize("shape", ["clusters", "heavy", "uniform"])
def test_no_start_loses_likelihood(shape: str) -> None:
    phi, starts, ridge = _started(_cloud(shape, 2))
    values = [climb(phi, starts, ridge, steps=s, tol=0).value.numpy() for s in (2, 6, 20, 80)]
    assert (np.diff(values, axis=0) > -1e-12).all()
    assert (values[-1][1:] > values[0][1:]).all()


def test_extrapolation_and_plain_steps_end_at_the_same_place() -> None:
    phi, starts, ridge = _started(_cloud("clusters", 2))
    fast = climb(phi, starts, ridge, steps=400, tol=1e-13)
    plain = starts.statistics
    for _ in range(800):
        value, plain = batch.expect(phi, batch.maximise(plain, ridge).coefficients, LAYOUT)
    assert fast.settled.all()
    # Fewer than a third of the starts may end at another optimum on such a cloud: here none does.
    np.testing.assert_allclose(fast.value, value, atol=1e-7)


def test_neighbours_keep_what_they_are_made_of() -> None:
    """A split keeps mean and covariance of all points; a removal keeps the sum of weights."""
    points = _cloud("clusters", 2)
    phi, starts, ridge = _started(points)
    winners = climb(phi, starts, ridge, steps=10, tol=0).take(torch.tensor([0, 1, 3]))
    found = neighbours(winners, ridge)
    assert found is not None
    # K = 2 from a split of 1, and none from 4; 3 is not in the grid
    assert found.layout.sizes == (2,)
    np.testing.assert_allclose(found.statistics.sum(0), winners.statistics[0], atol=1e-5)
    assert neighbours(winners.take(torch.tensor([2])), ridge) is None


# ---- the grid


def _value(points: Array, fit: EmFit) -> float:
    joint = kernel.log_joint(points, fit.weights, fit.means, fit.covariances)
    return float(kernel.log_likelihood(joint).mean())


def test_one_component_is_mean_and_covariance() -> None:
    points = np.array([(0.0, 0.0), (2.0, 0.0), (0.0, 4.0), (2.0, 4.0), (1.0, 2.0)]) + 1e4
    (fit,) = fit_grid(points, [1], reg_covar=0.5)
    np.testing.assert_allclose(fit.means, [[1e4 + 1, 1e4 + 2]])
    np.testing.assert_allclose(fit.covariances, [[[0.8 + 0.5, 0], [0, 3.2 + 0.5]]], atol=1e-9)
    assert fit.weights.tolist() == [1.0]
    assert fit.converged
    assert fit.proper


@pytest.mark.parametrize("shape", ["clusters", "heavy", "uniform"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_grid_is_not_worse_than_scikit_learn(shape: str, d: int) -> None:
    """Of all K that scikit-learn would not have to reject; benchmarks/mixtures.py has 200 sets."""
    from sklearn.mixture import GaussianMixture

    points = _cloud(shape, d, seed=d)
    for k, fit in zip(range(1, 5), fit_grid(points, range(1, 5), seed=d), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = GaussianMixture(k, n_init=5, max_iter=500, tol=1e-5, random_state=d)
            theirs.fit(points)
        if len(points) * theirs.weights_.min() >= d + 1:
            assert _value(points, fit) > theirs.score(points) - 1e-6


def test_one_seed_is_one_answer_whatever_the_threads() -> None:
    points = _cloud("uniform", 2, n=1100)
    threads, found = torch.get_num_threads(), []
    for n in (1, 2):
        torch.set_num_threads(n)
        found.append(fit_grid(points, range(1, 4), starts=2, seed=5))
        assert torch.get_num_threads() == n
    torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one.covariances, two.covariances)
    other = fit_grid(points, range(1, 4), starts=2, seed=6)
    assert not np.array_equal(found[0][2].means, other[2].means)


def test_a_singular_covariance_is_told_and_not_raised() -> None:
    """Three places, no ridge: three components have no likelihood; one has."""
    points = np.repeat([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], 10, axis=0)
    one, three = fit_grid(points, [1, 3], reg_covar=0.0)
    assert one.proper
    assert not three.proper


def test_a_start_without_crowded_components_goes_first() -> None:
    """Two equal points among 60 promise any likelihood to a component of their own."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((60, 2))
    points[1] = points[0]
    (fit,) = fit_grid(points, [3], reg_covar=1e-12)
    assert 60 * fit.weights.min() >= 3
