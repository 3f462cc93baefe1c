"""Fits whose likelihood is not that of the data are not chosen."""

import numpy as np
import pytest

from vaeopt.core.types import Floats, Mixture
from vaeopt.stages.rewards import Reward
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

RNG = np.random.default_rng(0)
CLOUD = RNG.standard_normal((200, 2))


def _mixture(z: Floats, *, last: int = 4, **table: object) -> Mixture:
    grid = {"kind": "gmm", "components": [1, last], "n_init": 2}
    workflow = Workflow(mixture=grid, density_filter="none", **table)  # type: ignore[arg-type]
    return example_run(z, workflow).mixture


@pytest.mark.parametrize("width", [1e-3, 1e-4])
def test_a_component_without_extent_is_not_chosen(width: float) -> None:
    """Two thirds of the points are nearly one point: any likelihood can be had there."""
    knot = CLOUD[0] + width * RNG.standard_normal((400, 2))
    z = np.concatenate([CLOUD, knot])
    mixture = _mixture(z)
    assert [fit.rejected.partition(": ")[2] for fit in mixture.fits[1:]] == [
        "a component has shrunk to no extent"
    ] * 3
    assert mixture.best is mixture.fits[0]


def test_a_tight_cluster_is_one() -> None:
    z = np.concatenate([CLOUD, [3, 0] + 0.05 * RNG.standard_normal((200, 2))])
    mixture = _mixture(z)
    assert mixture.best is not None
    assert mixture.best.n_components == 2


def test_a_line_is_not_fitted_in_raw_space() -> None:
    """The paper's filter multiplies variances along the axes and does not see a tilted line."""
    x = RNG.standard_normal(400)
    run = example_run(np.c_[x, x + 1e-5 * RNG.standard_normal(400)], Workflow(preset="paper"))  # type: ignore[call-arg]
    assert run.diagnostics.variance_product > 0.5
    assert not run.collapse.feasible
    assert "shrunk to no extent" in run.collapse.reasons[0]


def test_more_parameters_than_points_are_not_fitted() -> None:
    """d = 8: 44 parameters for one component, 89 for two."""
    mixture = _mixture(RNG.standard_normal((80, 8)), last=2)
    assert mixture.fits[0].rejected == ""
    assert mixture.fits[1].rejected == "K = 2: 89 free parameters for 80 points"


def test_a_gain_inside_a_sum_guards_nothing() -> None:
    """{gain, components} with equal weights is won by noise: components outweigh the gain."""
    both = {"kind": "composite", "terms": [{"reward": "gain"}, {"reward": "components"}]}
    with pytest.raises(ValueError, match="best for latents without any structure"):
        Workflow(rewards=(both,))  # type: ignore[arg-type]
    assert Workflow(rewards=(both, "gain")).rewards[0] == Reward.from_table(both)  # type: ignore[arg-type]
