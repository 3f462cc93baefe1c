"""Bayesian mixtures of many sets at once against those of one, and that no GPU waits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import FakeTensorMode

from vaeopt.kernels.mixture import svi
from vaeopt.kernels.mixture.guide import BayesianDensity
from vaeopt.kernels.mixture.stacked import svi as stacked
from vaeopt.kernels.mixture.stacked.graph import Repeated
from vaeopt.kernels.mixture.stacked.guide import StackedDensity

Array = NDArray[np.float64]
CPU = torch.device("cpu")
RECIPE: dict[str, Any] = {"init_scale": 0.1, "learning_rate": 0.02}


def _densities(d: int = 2, n_sets: int = 3, **table: Any) -> list[BayesianDensity]:
    rng = np.random.default_rng(d)
    shared: dict[str, Any] = {
        "n_components": 4,
        "dirichlet": 0.1,
        "means_limit": 5.0,
        "means_sd": 5.0,
        "prior_sd": 0.4,
        "on_variance": False,
        "lkj": 2.0,
        "least_weight": 1e-8,
        "overlap_weight": 0.1,
        "overlap_weighted": True,
    }
    return [
        BayesianDensity(
            points=rng.standard_normal((1, 80, d)), least_sd=0.1 * (i + 1), **{**shared, **table}
        )
        for i in range(n_sets)
    ]


def _start(densities: Sequence[BayesianDensity]) -> Array:
    rng = np.random.default_rng(1)
    return 0.5 * rng.standard_normal((len(densities), sum(densities[0].sizes)))


def _rngs(n: int = 3) -> list[np.random.Generator]:
    return [np.random.default_rng([7, i]) for i in range(n)]


def _alone(densities: Sequence[BayesianDensity], start: Array, **recipe: Any) -> list[svi.GuideFit]:
    fits = zip(densities, start, _rngs(len(start)), strict=True)
    return [svi.fit_guides(one, own[None], [rng], **RECIPE, **recipe)[0] for one, own, rng in fits]


def _same(ours: Sequence[svi.GuideFit], theirs: Sequence[svi.GuideFit]) -> None:
    for one, two in zip(ours, theirs, strict=True):
        assert (one.steps, one.converged, one.broken) == (two.steps, two.converged, two.broken)
        if not two.broken:
            np.testing.assert_allclose(one.loc, two.loc, rtol=1e-7, atol=1e-8)
            np.testing.assert_allclose(one.scale, two.scale, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize(
    "table",
    [
        {},
        {"means_limit": None, "on_variance": True, "overlap_weighted": False},
        {"overlap_weight": 0.0},
    ],
    ids=["default", "others", "no overlap"],
)
@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_value_and_gradient_are_those_of_one_set(
    d: int, table: dict[str, Any], penalised: bool
) -> None:
    """Some standard deviations and weights lie below their floors."""
    densities = _densities(d, **table)
    u = _start(densities)
    u[:, 0] -= 25.0
    variable = torch.from_numpy(u).requires_grad_()
    value = StackedDensity(densities, CPU)(variable, penalised=penalised)
    (slope,) = torch.autograd.grad(value.sum(), variable)
    for i, density in enumerate(densities):
        expected, gradient = density(u[i : i + 1], penalised=penalised)
        assert float(value[i].detach()) == pytest.approx(float(expected[0]), rel=1e-12)
        np.testing.assert_allclose(slope[i], gradient[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 50, 75, 120])
def test_guides_together_are_the_guides_alone(steps: int) -> None:
    densities = _densities()
    start, together = _start(densities), StackedDensity(densities, CPU)
    found = stacked.fit_guides(together, start, _rngs(), steps=steps, stop_gain=0.0, **RECIPE)
    _same(found, _alone(densities, start, steps=steps, stop_gain=0.0))


def test_guides_that_end_early_leave_the_others_as_they_were() -> None:
    """One is not a number from the start; the gain that stops is such that the rest ends apart."""
    densities = [*_densities(), *_densities(n_sets=2)]
    start = _start(densities)
    start[3] = 1e6
    recipe: dict[str, Any] = {"steps": 1500, "stop_gain": 5e-3}
    expected = _alone(densities, start, **recipe)
    assert expected[3].broken
    assert len({fit.steps for fit in expected}) >= 3
    together = StackedDensity(densities, CPU)
    _same(stacked.fit_guides(together, start, _rngs(5), **recipe, **RECIPE), expected)


def test_the_evidence_is_drawn_with_the_same_noise() -> None:
    densities = _densities()
    fits = _alone(densities, _start(densities), steps=20, stop_gain=0.0)
    costs = stacked.evidence_costs(StackedDensity(densities, CPU), fits, 5, _rngs())
    for own, density, fit, rng in zip(costs, densities, fits, _rngs(), strict=True):
        np.testing.assert_allclose(own, svi.evidence_costs(density, fit, 5, rng), rtol=1e-9)


def test_some_sets_of_a_density_are_those_alone() -> None:
    densities = _densities()
    u = torch.from_numpy(_start(densities))
    together, some = StackedDensity(densities, CPU), torch.tensor([2, 0])
    np.testing.assert_allclose(together.of(some)(u[some]), together(u)[some], rtol=1e-12)


# ---- the device


@pytest.mark.parametrize("table", [{}, {"means_limit": None, "on_variance": True}])
def test_a_step_never_leaves_the_gpu(table: dict[str, Any]) -> None:
    """Tensors without numbers, on a device that is not the CPU: a look at one would raise."""
    densities = [replace(density, **table) for density in _densities()]
    density = StackedDensity(densities, CPU)
    state = stacked.Steps(density, torch.zeros(3, 2, sum(densities[0].sizes)).double(), 0.1)
    with FakeTensorMode(), torch.no_grad():
        for owner in (density, state):
            for name, value in vars(owner).items():
                if isinstance(value, torch.Tensor):
                    stand_in = torch.empty(value.shape, dtype=value.dtype, device="meta")
                    setattr(owner, name, stand_in)
        before = {name: id(value) for name, value in vars(state).items()}
        state.step()
        # A graph reads and writes the tensors that were there when it was recorded.
        assert {name: id(value) for name, value in vars(state).items()} == before
        assert state.x.device.type == "meta"


def test_a_step_on_the_cpu_is_taken_as_often_as_asked() -> None:
    taken: list[int] = []
    repeated = Repeated(_counter(taken), CPU)
    repeated(3)
    repeated(4)
    assert len(taken) == 7


def _counter(taken: list[int]) -> Callable[[], None]:
    return lambda: taken.append(1)


needs_gpu = pytest.mark.gpu


@needs_gpu
@pytest.mark.parametrize("times", [1, 3, 4, 50])
def test_a_recorded_step_is_taken_as_often_as_asked(times: int) -> None:
    taken = torch.zeros((), device="cuda")

    def step() -> None:
        taken.add_(1)

    repeated = Repeated(step, torch.device("cuda"))
    for _ in range(3):
        repeated(times)
    assert float(taken) == 3 * times


@needs_gpu
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_gpu_and_the_cpu_agree(d: int) -> None:
    densities = _densities(d)
    start = _start(densities)
    found = stacked.fit_guides(
        StackedDensity(densities, torch.device("cuda")),
        start,
        _rngs(),
        steps=200,
        stop_gain=0.0,
        **RECIPE,
    )
    for ours, theirs in zip(found, _alone(densities, start, steps=200, stop_gain=0.0), strict=True):
        np.testing.assert_allclose(ours.loc, theirs.loc, atol=1e-5)
        np.testing.assert_allclose(ours.scale, theirs.scale, atol=1e-5)
