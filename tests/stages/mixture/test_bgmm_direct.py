"""The direct engine of the Bayesian mixture against the Pyro program."""

import functools
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pyro
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from torch.distributions import biject_to

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Mixture
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture import svi
from vaeopt.stages.mixture import variational
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.mixture.direct import density_of
from vaeopt.testing.contracts import check_mixture

Array = NDArray[np.float64]
_autoguide: Any = pyro.infer.autoguide
_CLUSTERS = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])


def _by_pyro(
    model: variational.BayesianMixture, sizes: tuple[int, ...], u: Array
) -> tuple[float, Array]:
    """Log joint of the Pyro program with torch's Jacobians, penalised, and its gradient."""
    k, d = model.settings.max_components, model.points.shape[1]
    given = torch.tensor(u, requires_grad=True)
    shapes = [(k - 1,), (k, d), (k, d), (k, d * (d - 1) // 2)]
    values, jacobian = {}, torch.zeros((), dtype=torch.float64)
    for (name, prior), part, shape in zip(
        model.priors.items(), torch.split(given, list(sizes)), shapes, strict=False
    ):
        transform: Any = biject_to(prior.support)
        values[name] = transform(part.view(shape))
        jacobian = jacobian + transform.log_abs_det_jacobian(part.view(shape), values[name]).sum()
    tracer: Any = pyro.poutine.trace(pyro.poutine.condition(model, values))
    total = tracer.get_trace(penalised=True).log_prob_sum() + jacobian
    total.backward()
    assert given.grad is not None
    return float(total.detach()), given.grad.numpy()


@pytest.mark.parametrize("floor", [0.0, 0.5], ids=["free", "floored"])
@pytest.mark.parametrize("overlap", ["weighted", "sum"])
@pytest.mark.parametrize("prior_on", ["sd", "variance"])
@pytest.mark.parametrize("means_prior", ["uniform", "normal0"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_log_joint_and_gradient_are_those_of_the_pyro_program(
    d: int,
    means_prior: Literal["uniform", "normal0"],
    prior_on: Literal["sd", "variance"],
    overlap: Literal["weighted", "sum"],
    floor: float,
) -> None:
    settings = Bgmm(
        max_components=4, means_prior=means_prior, prior_on=prior_on, overlap=overlap
    ).model_copy(update={"overlap_weight": 0.3, "prior_sd": 0.7})
    rng = np.random.default_rng(d)
    points = rng.standard_normal((30, d)) + 1
    density = density_of(settings, points[None], floor)
    u = rng.standard_normal((1, sum(density.sizes)))
    u[0, 0] = -30.0 if floor else u[0, 0]  # a weight below its floor
    value, gradient = density(u)
    model = variational.BayesianMixture(settings, points, floor)
    expected, slope = _by_pyro(model, density.sizes, u[0])
    assert value[0] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient[0], slope, atol=1e-9 * np.abs(slope).max())


def test_the_same_noise_is_the_same_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Bgmm(max_components=3, steps=25, stop_gain_nats=0.0)
    points = np.random.default_rng(0).standard_normal((60, 2))
    density = density_of(settings, points[None])
    start = 0.2 * np.random.default_rng(1).standard_normal(sum(density.sizes))
    noise = np.random.default_rng(2)
    (ours,) = svi.fit_guides(
        density, start[None], [np.random.default_rng(2)],
        init_scale=0.1, steps=25, learning_rate=settings.learning_rate, stop_gain=0.0,
    )  # fmt: skip
    with pyro.get_param_store().scope():
        model = variational.BayesianMixture(settings, points)
        guide: Any = _autoguide.AutoDiagonalNormal(model, init_scale=0.1)
        guide()
        guide.loc.data = torch.from_numpy(start)

        def same(loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return loc + scale * torch.from_numpy(noise.standard_normal(len(loc)))

        class Fixed(pyro.distributions.Normal):
            def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
                return same(self.loc, self.scale)

        _fixed: Any = Fixed
        guide.get_posterior = lambda *_, **__: _fixed(guide.loc, guide.scale).to_event(1)
        variational._train(settings, model, guide)
        np.testing.assert_allclose(ours.loc, guide.loc.detach(), rtol=1e-8)
        np.testing.assert_allclose(ours.scale, guide.scale.detach(), rtol=1e-8)


# ---- fits


@functools.cache
def _clusters() -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    label = rng.choice(4, 300, p=[0.35, 0.3, 0.2, 0.15])
    return _CLUSTERS[label] + 0.25 * rng.standard_normal((300, 2)), label


@functools.cache
def _fit(engine: Literal["direct", "pyro"], seed: int = 0) -> Mixture:
    z, _ = _clusters()
    model = Bgmm(max_components=6, learning_rate=5e-2, engine=engine)
    kept = np.ones(len(z), dtype=bool)
    return model.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(seed, 0))


def test_both_engines_have_the_same_posterior() -> None:
    ours, theirs = _fit("direct"), _fit("pyro")
    assert ours.elbo is not None
    assert theirs.elbo is not None
    assert ours.best is not None
    assert theirs.best is not None
    assert ours.elbo.converged
    # Both stop while the loss still falls by up to 1e-3 in 200 steps, and draws differ.
    allowed = 0.02 + 4 * np.hypot(ours.elbo.standard_error_nats, theirs.elbo.standard_error_nats)
    assert ours.elbo.cost_nats == pytest.approx(theirs.elbo.cost_nats, abs=allowed)
    for mixture in (ours.best, theirs.best):
        assert kernel.effective_components(mixture.weights) == 4
    assert adjusted_rand_score(ours.component, theirs.component) > 0.98
    assert adjusted_rand_score(ours.component, _clusters()[1]) > 0.95


def test_it_keeps_the_contract_of_mixtures() -> None:
    check_mixture(Bgmm(max_components=4, steps=60, elbo_draws=4))


def test_the_seed_decides() -> None:
    z = _clusters()[0]
    quick = Bgmm(max_components=4, steps=20, elbo_draws=4)
    kept = np.ones(len(z), dtype=bool)
    costs = []
    for seed in (0, 0, 1):
        found = quick.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(seed, 0)).elbo
        assert found is not None
        costs.append(found.cost_nats)
    assert costs[0] == costs[1] != costs[2]


@pytest.mark.parametrize("means_prior", ["uniform", "normal0"])
def test_the_guide_may_start_at_medians_of_the_prior(
    means_prior: Literal["uniform", "normal0"],
) -> None:
    z = _clusters()[0]
    model = Bgmm(init="median", means_prior=means_prior, steps=10, elbo_draws=4)
    kept = np.ones(len(z), dtype=bool)
    found = model.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(0, 0))
    assert found.elbo is not None
    assert np.isfinite(found.elbo.cost_nats)
    assert found.best is not None
    # Ten steps of .02 are still near equal weights.
    assert kernel.perplexity(found.best.weights) > 18


def test_a_fit_that_leaves_the_numbers_is_no_mixture_with_a_reason() -> None:
    z = _clusters()[0]
    model = Bgmm(max_components=4, learning_rate=1e6)
    kept = np.ones(len(z), dtype=bool)
    found = model.fit(z, kept=kept, fit_index=np.arange(len(z)), seeds=Seeds(0, 0))
    assert "the evidence bound is not a number in step" in found.failure


def test_pyro_is_not_imported() -> None:
    code = (
        "import sys, numpy as np; from vaeopt.stages.mixture.bgmm import Bgmm\n"
        "from vaeopt.core.seeds import Seeds\n"
        "z = np.random.default_rng(0).standard_normal((60, 2)); kept = np.ones(60, dtype=bool)\n"
        "model = Bgmm(max_components=3, steps=2, elbo_draws=2)\n"
        "model.fit(z, kept=kept, fit_index=np.arange(60), seeds=Seeds(0, 0))\n"
        "assert 'pyro' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # our own line
