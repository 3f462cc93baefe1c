"""Labels under one fit, and how far two partitions agree."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.stages.rewards.clear_types import CLEAR, TYPE, N, Z, run_of
from vaeopt.core.types import GaussianMixtureFit
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards.partition import agreement, labels_at, partition
from vaeopt.workflow import Workflow

# ---- labels under one fit


def test_labels_of_the_chosen_fit_are_its_components() -> None:
    best = CLEAR.mixture.best
    assert best is not None
    found = labels_at(CLEAR.mixture, CLEAR.latents.z, best.n_components)
    np.testing.assert_array_equal(found, CLEAR.mixture.component)


def test_a_rejected_fit_still_labels() -> None:
    fits = tuple(replace(fit, rejected="not converged") for fit in CLEAR.mixture.fits)
    rejected = replace(CLEAR.mixture, fits=fits)
    np.testing.assert_array_equal(
        labels_at(rejected, Z, 5),
        labels_at(CLEAR.mixture, Z, 5),
    )


def test_a_fit_without_parameters_does_not_label() -> None:
    empty = GaussianMixtureFit(
        n_components=5,
        n_points=N,
        latent_dim=2,
        n_free=29,
        log_likelihood_total=float("-inf"),
        entropy_total=0.0,
        map_log_responsibility_total=0.0,
        weights=np.zeros(5),
        means=np.zeros((5, 2)),
        covariances=np.zeros((5, 2, 2)),
        rejected="K = 5: singular",
    )
    assert labels_at(replace(CLEAR.mixture, fits=(CLEAR.mixture.fits[0], empty)), Z, 5) is None


@pytest.mark.parametrize("space", ["raw", "standard", "whiten"])
def test_labels_are_of_the_nearest_cluster_in_every_space(space: Any) -> None:
    flow = Workflow(mixture=Gmm(components=(1, 5), n_init=2, space=space))
    found = partition(run_of(Z, flow), 5)
    assert found is not None
    assert agreement(found, TYPE).ari == 1.0


def test_other_latents_are_labelled_where_they_lie() -> None:
    fit = next(fit for fit in CLEAR.mixture.fits if fit.n_components == 5)
    back = fit.means @ np.linalg.inv(CLEAR.mixture.transform).T + CLEAR.mixture.shift
    assert labels_at(CLEAR.mixture, back, 5) is not None
    np.testing.assert_array_equal(labels_at(CLEAR.mixture, back, 5), np.arange(5))


# ---- agreement


def test_T15_ari_and_ami() -> None:
    found = agreement(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 2, 2]))
    assert found.ari == pytest.approx(0.444444, abs=1e-6)
    assert found.ami == pytest.approx(0.502361, abs=1e-6)


def test_agreement_is_symmetric_and_blind_to_names() -> None:
    a, b = np.random.default_rng(2).integers(0, 3, (2, 90))
    first = agreement(a, b)
    assert agreement(b, a) == pytest.approx(first, abs=1e-12)
    assert agreement(np.array([5, 1, 3])[a], b) == pytest.approx(first, abs=1e-12)
    assert agreement(a, a) == pytest.approx((1, 1))
    assert np.abs(first).max() < 0.1


def test_a_single_part_agrees_with_nothing() -> None:
    one = np.zeros(6, dtype=int)
    assert agreement(one, one) == (0.0, 0.0)
    assert agreement(one, np.arange(6)) == (0.0, 0.0)
