"""Collapse: which test fails, what it says, and a margin that a sampler can follow."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import ArrayLike

from vaeopt.core.types import LatentDiagnostics
from vaeopt.stages.latent_filter import LatentFilter
from vaeopt.stages.latent_filter.base import log_margin
from vaeopt.stages.latent_filter.geomean import Geomean
from vaeopt.stages.latent_filter.units import Units
from vaeopt.stages.latent_filter.variance_product import VarianceProduct


def _health(
    variance: ArrayLike = (1.0, 0.8),
    snr: ArrayLike = (50.0, 40.0),
    kl: ArrayLike = (2.0, 1.5),
    ratio: float = 0.5,
) -> LatentDiagnostics:
    """Two healthy units unless said otherwise."""
    v, s, k = (np.asarray(a, dtype=np.float64) for a in (variance, snr, kl))
    return LatentDiagnostics(
        variance=v,
        noise=v / s,
        snr=s,
        kl_nats=k,
        code_kl_nats=np.zeros(0),
        eigenvalues=np.array([ratio, 1.0]),
    )


# ---- units: every test with its reason


@pytest.mark.parametrize("raw", [True, False])
def test_healthy_units_pass_without_a_reason(raw: bool) -> None:
    verdict = Units()(_health(), raw_space=raw)
    assert verdict.feasible
    assert verdict.reasons == ()
    # The nearest test: KL of 1.5 nats against 0.05, or variance .8 and SNR against .01 and 1.
    assert verdict.margin == pytest.approx(math.log10(0.05 / 1.5))


@pytest.mark.parametrize("raw", [True, False])
def test_posterior_collapse_is_an_inactive_unit(raw: bool) -> None:
    verdict = Units()(_health(variance=(1.0, 0.002), snr=(50.0, 0.1)), raw_space=raw)
    assert verdict.margin == pytest.approx(math.log10(0.01 / 0.002))
    assert verdict.reasons == ("z2 is inactive: variance 0.002, SNR 0.1 (inactive_unit)",)


def test_a_unit_that_is_inactive_by_a_hair_of_noise_has_a_small_margin() -> None:
    verdict = Units()(_health(variance=(1.0, 1e-5), snr=(50.0, 0.9)), raw_space=False)
    assert verdict.margin == pytest.approx(math.log10(1 / 0.9))


def test_a_unit_without_information_is_unused() -> None:
    verdict = Units()(_health(kl=(0.01, 2.0)), raw_space=False)
    assert verdict.margin == pytest.approx(math.log10(5))
    assert verdict.reasons == ("z1 is unused: KL 0.01 nats < 0.05 (inactive_unit)",)


def test_units_that_depend_on_each_other_are_degenerate() -> None:
    verdict = Units()(_health(ratio=1e-5), raw_space=False)
    assert verdict.margin == pytest.approx(2.0)
    assert verdict.reasons == (
        "latents depend on each other: eigenvalue ratio 1e-05 (degenerate_cov)",
    )


def test_a_narrow_unit_is_infeasible_in_raw_space_only() -> None:
    narrow = _health(variance=(1.0, 0.001), snr=(50.0, 30.0))
    raw, white = Units()(narrow, raw_space=True), Units()(narrow, raw_space=False)
    assert raw.margin == pytest.approx(1.0)
    assert raw.reasons == ("z2 is narrow: variance 0.001 in raw space (narrow_unit)",)
    assert white.feasible
    assert white.reasons == ()


def test_every_violated_test_gives_a_reason_and_the_worst_the_margin() -> None:
    ill = _health(variance=(0.001, 0.005), snr=(0.01, 0.3), kl=(1e-4, 1.0), ratio=1e-4)
    verdict = Units()(ill, raw_space=False)
    assert len(verdict.reasons) == 4
    assert sum("inactive_unit" in reason for reason in verdict.reasons) == 3
    assert verdict.margin == pytest.approx(math.log10(0.05 / 1e-4))


def test_a_single_latent_is_never_degenerate() -> None:
    one = LatentDiagnostics(
        variance=np.array([1.0]),
        noise=np.array([0.1]),
        snr=np.array([10.0]),
        kl_nats=np.array([2.0]),
        code_kl_nats=np.zeros(0),
        eigenvalues=np.array([1.0]),
    )
    assert Units()(one, raw_space=True).feasible


def test_thresholds_can_be_set() -> None:
    assert Units()(_health(), raw_space=False).feasible
    assert not Units(min_kl_nats=1.8)(_health(), raw_space=False).feasible
    assert not Units(min_eigenvalue_ratio=0.6)(_health(), raw_space=False).feasible
    assert not Units(min_variance=0.9)(_health(), raw_space=True).feasible


# ---- margins


@pytest.mark.parametrize("raw", [True, False])
def test_a_run_is_infeasible_exactly_if_there_is_a_reason(raw: bool) -> None:
    rng = np.random.default_rng(0)
    feasible = 0
    for _ in range(400):
        variance, snr, kl = 10 ** rng.uniform(-3, 2, (3, 2))
        verdict = Units()(_health(variance, snr, kl, 10 ** rng.uniform(-4, 0)), raw_space=raw)
        assert verdict.feasible is not bool(verdict.reasons)
        feasible += verdict.feasible
    assert 20 < feasible < 380


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("swept", ["variance", "snr", "kl", "ratio"])
def test_margins_are_continuous(swept: str, raw: bool) -> None:
    def margin(value: float) -> float:
        narrow = {"variance": (1.0, 0.003), "snr": (50.0, 0.2)}
        found: dict[str, ArrayLike] = (
            {"ratio": value} if swept == "ratio" else {swept: (1.0, value)}
        )
        start = {k: v for k, v in narrow.items() if k != swept and swept in ("variance", "snr")}
        return Units()(_health(**{**start, **found}), raw_space=raw).margin  # type: ignore[arg-type]  # by keyword

    margins = [margin(value) for value in np.geomspace(1e-5, 10, 1201)]
    step = math.log10(1e6) / 1200
    assert max(abs(a - b) for a, b in pairwise(margins)) < 1.01 * step
    assert max(margins) - min(margins) > 0.5


@pytest.mark.parametrize(
    "latent_filter", [Units(), Geomean(), VarianceProduct()], ids=lambda f: f.kind
)
def test_margins_are_clipped_at_6(latent_filter: LatentFilter) -> None:
    dead = _health(variance=(0.0, 0.0), snr=(1e-300, 1e-300), kl=(0.0, 0.0), ratio=0.0)
    verdict = latent_filter(dead, raw_space=True)
    assert verdict.margin == 6.0
    assert verdict.reasons


@pytest.mark.parametrize(
    ("score", "margin"),
    [
        (0.001, 1.0),
        (0.01, 0.0),
        (1.0, -2.0),
        (0.0, 6.0),
        (1e-30, 6.0),
        (1e30, -6.0),
        (np.inf, -6.0),
    ],
)
def test_a_margin_is_the_decades_below_the_threshold(score: float, margin: float) -> None:
    assert log_margin(0.01, score) == pytest.approx(margin, abs=1e-12)


def test_a_score_that_is_not_a_number_fails() -> None:
    assert log_margin(0.01, float("nan")) == 6.0


# ---- one threshold for all units


def test_the_papers_filter_looks_at_the_product() -> None:
    verdict = VarianceProduct()(_health(variance=(0.845, 0.0125)), raw_space=True)
    assert verdict.margin == pytest.approx(math.log10(0.05 / 0.0105625))
    assert verdict.reasons == ("product of the variances 0.011 < 0.05 (collapsed)",)
    assert VarianceProduct(minimum=0.01)(_health(variance=(0.845, 0.0125)), raw_space=True).feasible


def test_the_papers_filter_has_the_papers_name_too() -> None:
    assert LatentFilter.from_table("paper") == VarianceProduct()


def test_geomean_looks_at_the_geometric_mean() -> None:
    verdict = Geomean()(_health(variance=(0.845, 0.0125)), raw_space=False)
    assert verdict.margin == pytest.approx(math.log10(0.1 / 0.102774), abs=1e-5)
    assert verdict.reasons == ()
    collapsed = Geomean()(_health(variance=(0.5, 0.0125)), raw_space=False)
    assert collapsed.reasons == ("geometric mean of the variances 0.079 < 0.1 (collapsed)",)


def test_a_geometric_mean_is_diluted_by_healthy_units_and_units_is_not() -> None:
    variance = np.array([1.0] * 7 + [1e-4])
    diluted = _health(variance, np.where(variance < 1, 0.01, 50.0), np.full(8, 2.0))
    assert diluted.variance_geomean == pytest.approx(0.316, abs=1e-3)
    assert Geomean()(diluted, raw_space=False).feasible
    assert not Units()(diluted, raw_space=False).feasible
