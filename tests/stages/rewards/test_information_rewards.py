"""Rewards of the posteriors alone: information, active units, signal-to-noise ratio."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.stages.rewards.by_hand import reward, with_latents
from vaeopt.core.types import Collapse, WorkflowRun
from vaeopt.stages.rewards import Reward

# Test vector T7: V = (0.845, 0.0125). With a posterior sd of 0.1, SNR = (84.5, 1.25).
Z = np.array([(1, 0.2), (-0.5, 0.1), (0.3, -0.1), (2, 0)])
RUN = with_latents(Z, 0.1)
FORMS: list[dict[str, Any]] = [
    *({"kind": "information", "form": form} for form in ("total", "per_unit", "least")),
    *({"kind": "snr", "form": form} for form in ("least", "mean")),
    {"kind": "active-units"},
]


@pytest.mark.parametrize(
    ("form", "nats"),
    [
        ("least", math.log(1.5)),
        ("total", math.log(85.5) / 2 + math.log(1.5)),
        ("per_unit", math.log(85.5) / 4 + math.log(1.5) / 2),
    ],
)
def test_information_is_half_the_log_of_one_plus_snr(form: str, nats: float) -> None:
    assert reward("information", form=form).value(RUN) == pytest.approx(nats, rel=1e-9)


@pytest.mark.parametrize(
    ("form", "decades"), [("least", 0.09691), ("mean", (1.926857 + 0.09691) / 2)]
)
def test_snr_is_counted_in_decades(form: str, decades: float) -> None:
    assert reward("snr", form=form).value(RUN) == pytest.approx(decades, abs=1e-6)


def test_active_units_vary_by_more_than_a_hundredth() -> None:
    assert reward("active-units").value(RUN) == 2.0
    assert reward("active-units").value(with_latents(Z * [1, 0.89], 0.1)) == 1.0  # V = 0.0099
    assert reward("active-units").value(with_latents(Z * 0, 0.1)) == 0.0


@pytest.mark.parametrize("table", FORMS, ids=str)
def test_the_order_of_units_changes_nothing(table: dict[str, Any]) -> None:
    found = Reward.from_table(table)
    swapped = with_latents(Z[:, ::-1], 0.1)
    assert found.value(swapped) == pytest.approx(found.value(RUN), rel=1e-12)


@pytest.mark.parametrize("table", FORMS[:5], ids=str)
@pytest.mark.parametrize("factor", [0.01, 7.0])
def test_a_unit_of_measure_changes_no_signal_to_noise(table: dict[str, Any], factor: float) -> None:
    found, scaled = Reward.from_table(table), with_latents(factor * Z, factor * 0.1)
    assert found.value(scaled) == pytest.approx(found.value(RUN), rel=1e-9)


@pytest.mark.parametrize("table", FORMS, ids=str)
def test_more_noise_never_says_more(table: dict[str, Any]) -> None:
    found = Reward.from_table(table)
    values = [found.value(with_latents(Z, std)) for std in (0.01, 0.1, 0.5, 2.0)]
    assert values == sorted(values, reverse=True)


def test_a_dead_unit_says_nothing_and_is_seen_by_the_least() -> None:
    run = with_latents(np.c_[Z, np.zeros(4)], 0.1)
    total = reward("information").value(RUN)
    assert reward("information").value(run) == pytest.approx(total, rel=1e-12)
    per_unit = reward("information", form="per_unit").value(run)
    assert per_unit == pytest.approx(total / 3, rel=1e-12)
    assert reward("information", form="least").value(run) == 0.0
    assert reward("snr", form="least").value(run) == -6.0
    assert reward("snr", form="mean").value(run) == pytest.approx((2.023767 - 6) / 3, abs=1e-6)


def test_a_unit_without_noise_is_clipped() -> None:
    assert reward("snr").value(with_latents(Z, 0.0)) == 6.0
    assert math.isfinite(reward("information").value(with_latents(Z, 0.0)))


def _undefined() -> WorkflowRun:
    """A collapsed run whose diagnostics are not numbers."""
    nothing = np.full(2, np.nan)
    diagnostics = replace(RUN.diagnostics, variance=nothing, snr=nothing)
    return replace(
        RUN, diagnostics=diagnostics, collapse=Collapse(margin=6.0, reasons=("diverged",))
    )


@pytest.mark.parametrize(
    ("table", "worst"),
    [(table, -6.0 if table["kind"] == "snr" else 0.0) for table in FORMS],
    ids=str,
)
def test_without_numbers_a_run_has_the_least_value(table: dict[str, Any], worst: float) -> None:
    assert Reward.from_table(table).value(_undefined()) == worst


@pytest.mark.parametrize("table", FORMS, ids=str)
def test_no_mixture_is_needed(table: dict[str, Any]) -> None:
    found = Reward.from_table(table)
    without = replace(RUN, mixture=replace(RUN.mixture, chosen=None, failure="none"))
    assert found.value(without) == found.value(RUN)


LABELS = [
    "information",
    "information_per_unit",
    "information_least",
    "log10_snr_least",
    "log10_snr_mean",
    "active_units",
]


@pytest.mark.parametrize(("table", "label"), list(zip(FORMS, LABELS, strict=True)), ids=str)
def test_labels_of_information(table: dict[str, Any], label: str) -> None:
    found = Reward.from_table(table)
    assert (found.label, found.direction) == (label, "maximize")
    assert Reward.from_table(found.to_table()) == found
