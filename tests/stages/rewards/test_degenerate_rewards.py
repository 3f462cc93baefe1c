"""P3: degenerate latents never raise, are infeasible, and have no structure to win with."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.stages.rewards.by_hand import QUICK
from vaeopt import testing
from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.stages.rewards import Reward
from vaeopt.testing import example_run

TERMS: list[dict[str, Any]] = [{"reward": "gain"}, {"reward": "snr", "weight": 0.5}]
RANKED = [{**term, "reference": [-1.0, 0.0, 1.0]} for term in TERMS]
MIXTURE: list[dict[str, Any]] = [
    {"kind": "log-likelihood"},
    {"kind": "bic"},
    {"kind": "aic"},
    {"kind": "icl"},
    *({"kind": "icl", "form": f} for f in ("paper", "soft", "hard", "half", "quarter")),
    {"kind": "gain"},
    *({"kind": "components", "form": f} for f in ("chosen", "effective", "perplexity")),
    *({"kind": "entropy", "form": f} for f in ("per_sample", "normalised")),
]
POSTERIOR: list[dict[str, Any]] = [
    *({"kind": "information", "form": f} for f in ("total", "per_unit", "least")),
    {"kind": "active-units"},
    *({"kind": "snr", "form": f} for f in ("least", "mean")),
    *(
        {"kind": "variance-product", "form": f}
        for f in ("product", "geomean", "total", "generalised")
    ),
]
COMPOSITE: list[dict[str, Any]] = [
    {"kind": "composite", "terms": TERMS},
    {"kind": "composite", "combine": "rank", "terms": RANKED},
]
# The rate is least, hence best, for a model that says nothing; the latent filter is its guard.
OTHERS: list[dict[str, Any]] = [{"kind": "rate"}, {"kind": "reconstruction"}]


def _clusters() -> Floats:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.standard_normal((80, 2)), rng.standard_normal((80, 2)) + 9])


HEALTHY = example_run(_clusters(), QUICK)


def _degenerate() -> dict[str, WorkflowRun]:
    z = HEALTHY.latents.z_mean
    latents = {
        "nothing": np.zeros_like(z),
        "duplicates": z[np.arange(len(z)) % 2],
        "duplicates beside others": np.where(np.arange(len(z))[:, None] % 3, z[0], z),
        "ten places": z[np.arange(len(z)) % 10 * 16],
        "constant unit": z * [1.0, 0.0],
        "two points": z[:2],
        "one point": z[:1],
    }
    found = {name: example_run(means, QUICK) for name, means in latents.items()}
    # What a study compares with is fixed when it is made, for all of its runs.
    return {name: replace(run, comparison=HEALTHY.comparison) for name, run in found.items()}


DEGENERATE = _degenerate()


def test_the_degenerate_runs_are_infeasible_and_say_why() -> None:
    assert HEALTHY.collapse.feasible
    for name, run in DEGENERATE.items():
        assert not run.collapse.feasible, name
        assert run.collapse.reasons, name


def _beats(table: dict[str, Any], run: WorkflowRun, other: WorkflowRun) -> bool:
    reward = Reward.from_table(table)
    sign = 1 if reward.direction == "maximize" else -1
    return sign * reward.value(run) > sign * reward.value(other)


@pytest.mark.parametrize("table", MIXTURE, ids=str)
@pytest.mark.parametrize("name", list(DEGENERATE))
def test_no_degenerate_run_has_the_structure_of_clusters(table: dict[str, Any], name: str) -> None:
    assert _beats(table, HEALTHY, DEGENERATE[name])


@pytest.mark.parametrize("table", [*POSTERIOR, *COMPOSITE], ids=str)
@pytest.mark.parametrize("name", ["nothing", "constant unit", "one point"])
def test_no_dead_unit_says_as_much_as_a_live_one(table: dict[str, Any], name: str) -> None:
    assert _beats(table, HEALTHY, DEGENERATE[name])


@pytest.mark.parametrize("table", [*MIXTURE, *POSTERIOR, *COMPOSITE, *OTHERS], ids=str)
def test_every_degenerate_run_has_a_number(table: dict[str, Any]) -> None:
    reward = Reward.from_table(table)
    assert all(math.isfinite(reward.value(run)) for run in DEGENERATE.values())


@pytest.mark.parametrize("table", [*MIXTURE, *POSTERIOR, *COMPOSITE], ids=str)
def test_every_form_keeps_the_laws_of_its_family(table: dict[str, Any]) -> None:
    reward = Reward.from_table(table)
    testing.check_settings(reward)
    testing.check_reward(reward)
