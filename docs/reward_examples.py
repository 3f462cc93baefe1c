"""Runs with known latents and what the rewards say of them: the contents of the pictures.

Nothing is trained: every run has given latents, and everything behind the encoder is computed.
Drawn by make_reward_pictures.py; the numbers of images/rewards.json come from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from vaeopt import Workflow
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Floats, Ints, Recut, WorkflowRun
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.composite import Composite
from vaeopt.testing import example_run
from vaeopt.workflow.presets import PRESETS

__all__ = ["PICTURES", "Picture", "Row"]

N = 600  # points of a cloud


class Row(NamedTuple):
    """One line of numbers below the panels."""

    label: str
    value: Callable[[WorkflowRun], float]
    direction: str
    """minimize, maximize, or empty where nothing is better"""
    digits: int = 2


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One page: what is shown, and by which rewards."""

    panels: Mapping[str, Callable[[], WorkflowRun]]
    rows: tuple[Row, ...]
    maps: bool = False
    """whether key points are shown below the latents"""
    posteriors: bool = False
    """whether posterior widths are shown in place of components"""
    terms: tuple[Row, ...] = ()
    """weighted terms of a sum, shown as bars"""

    @property
    def lines(self) -> tuple[Row, ...]:
        """Everything that is written below the panels."""
        return (*self.rows, *self.terms)

    def numbers(self, panel: str) -> dict[str, Any]:
        """What the picture says of one panel."""
        run = self.panels[panel]()
        values = {row.label: round(row.value(run), 9) for row in self.lines}
        return {"feasible": run.collapse.feasible, "values": values}


def workflow(**settings: Any) -> Workflow:
    """Settings as a study file gives them."""
    return Workflow(**settings)


def reward(table: Any, *, digits: int = 2) -> Row:
    """The line of a reward."""
    found = Reward.from_table(table)
    return Row(found.label, found.value, found.direction, digits)


# ---- latents -----------------------------------------------------------------------------------

MEANS = np.array([(1.2, 0.8), (-1.0, 0.9), (-0.7, -1.1), (1.0, -1.0)])
SD = np.array([0.25, 0.3, 0.35, 0.3])
COUNTS = (210, 180, 120, 90)


def clusters(types: Ints | None = None, *, spread: float = 1.0) -> Floats:
    """Four clusters (semantics, property P5), 0.35, 0.3, 0.2 and 0.15 of the points."""
    of = np.repeat(np.arange(4), COUNTS) if types is None else types
    noise = np.random.default_rng(0).standard_normal((len(of), 2))
    return np.asarray(MEANS[of] + spread * SD[of, None] * noise)


def gaussian() -> Floats:
    """No structure at all."""
    return np.random.default_rng(1).standard_normal((N, 2))


def angles(seed: int = 2) -> Floats:
    """An orientation per patch [rad]."""
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, N)


def ring(angle: Floats | None = None) -> Floats:
    """Orientation that fills the latents, and nothing else."""
    angle = angles() if angle is None else angle
    noise = 0.08 * np.random.default_rng(3).standard_normal((N, 2))
    return np.asarray(1.3 * np.c_[np.cos(angle), np.sin(angle)] + noise)


def turned_ring() -> Floats:
    """The same patches, each turned by an angle of its own."""
    return ring(angles() + angles(seed=10))


def dead() -> Floats:
    """The first unit of the clusters; the second one has collapsed onto its prior."""
    noise = 0.03 * np.random.default_rng(4).standard_normal(N)
    return np.stack([clusters()[:, 0], noise], axis=1)


DEAD_SD = (0.1, 0.999)  # posterior widths of a healthy and of a collapsed unit


def with_posterior(run: WorkflowRun, flow: Workflow, z_std: tuple[float, ...]) -> WorkflowRun:
    """The same means with other posterior widths, one per unit, and what follows from them."""
    widths = np.broadcast_to(z_std, run.latents.z_mean.shape)
    latents = replace(run.latents, z_std=widths)
    found = unit_diagnostics(latents.z_mean, widths, latents.code_mean, latents.code_std)
    verdict = flow.latent_filter(found, raw_space=flow.mixture.raw_space)
    return replace(run, latents=latents, diagnostics=found, collapse=verdict)


GRID = Gmm(components=(1, 8), n_init=2)
CLOUDS: Mapping[str, tuple[Callable[[], Floats], tuple[float, ...]]] = {
    "four clusters": (clusters, (0.1, 0.1)),
    "half the scale": (lambda: clusters() / 2, (0.1, 0.1)),
    "overlapping": (lambda: clusters(spread=1.9), (0.1, 0.1)),
    "ring": (ring, (0.1, 0.1)),
    "one Gaussian": (gaussian, (0.1, 0.1)),
    "one dead unit": (dead, DEAD_SD),
}


@cache
def cloud(name: str) -> WorkflowRun:
    """A run with these latents and a mixture of up to eight components."""
    z, widths = CLOUDS[name]
    flow = workflow(mixture=GRID)
    return with_posterior(example_run(z(), flow), flow, widths)


# ---- mixture criteria --------------------------------------------------------------------------


def icl_in_raw_space(run: WorkflowRun) -> float:
    """``icl`` of the same latents, fitted as they are."""
    raw = GRID.model_copy(update={"space": "raw"}).fit(
        run.latents.z,
        kept=run.mixture.kept,
        fit_index=run.mixture.fit_index,
        seeds=Seeds(0, 0),
    )
    return Reward.from_table("icl").value(replace(run, mixture=raw))


MIXTURE = Picture(
    panels={name: partial(cloud, name) for name in CLOUDS},
    rows=(
        reward("gain"),
        reward("icl"),
        Row("icl, raw space", icl_in_raw_space, "minimize"),
        reward("bic"),
        reward("aic"),
        reward("log-likelihood"),
        reward("components", digits=0),
        reward({"kind": "components", "form": "perplexity"}),
        reward("entropy", digits=3),
    ),
)


# ---- Bayesian mixture --------------------------------------------------------------------------


@cache
def bayesian(name: str, preset: str, seed: int) -> WorkflowRun:
    """Clusters with unit variances, so that raw and standardised space are the same."""
    z = CLOUDS[name][0]()
    table = {**PRESETS["paper"]["bayesian"]} if preset == "paper" else {"kind": "bgmm"}
    flow = workflow(
        density_filter="none", mixture=table, bayesian=table, rewards=["elbo", "elbo-h"]
    )
    return example_run((z - z.mean(axis=0)) / z.std(axis=0), flow, seed=seed)


def steps_of(run: WorkflowRun) -> float:
    """Optimiser steps that the fit has taken."""
    assert run.mixture.elbo is not None
    return float(run.mixture.elbo.steps)


BAYESIAN = Picture(
    panels={
        "defaults,\nseed 0": partial(bayesian, "four clusters", "defaults", 0),
        "defaults,\nseed 1": partial(bayesian, "four clusters", "defaults", 1),
        "the paper's,\nseed 0": partial(bayesian, "four clusters", "paper", 0),
        "the paper's,\nseed 1": partial(bayesian, "four clusters", "paper", 1),
        "defaults,\nring": partial(bayesian, "ring", "defaults", 0),
        "defaults,\none Gaussian": partial(bayesian, "one Gaussian", "defaults", 0),
    },
    rows=(
        reward("elbo"),
        reward("elbo-h"),
        reward({"kind": "components", "of": "bayesian", "form": "effective"}, digits=0),
        reward({"kind": "components", "of": "bayesian", "form": "perplexity"}),
        reward({"kind": "entropy", "of": "bayesian"}, digits=3),
        Row("optimiser steps", steps_of, "", 0),
    ),
)


# ---- information -------------------------------------------------------------------------------

WIDTHS: Mapping[str, tuple[Callable[[], Floats], tuple[float, ...]]] = {
    "clear": (clusters, (0.1, 0.1)),
    "all halved": (lambda: clusters() / 2, (0.05, 0.05)),
    "blurred": (clusters, (0.7, 0.7)),
    "noise, small\nkl_scale": (gaussian, (0.01, 0.01)),
    "orientation\nonly": (ring, (0.1, 0.1)),
    "one dead unit": (dead, DEAD_SD),
}


@cache
def informed(name: str) -> WorkflowRun:
    """A run with these posteriors; the mixture is not looked at."""
    z, widths = WIDTHS[name]
    flow = workflow(mixture={"kind": "gmm", "components": [1, 2], "n_init": 1})
    return with_posterior(example_run(z(), flow), flow, widths)


INFORMATION = Picture(
    panels={name: partial(informed, name) for name in WIDTHS},
    rows=(
        reward("information"),
        reward({"kind": "information", "form": "per_unit"}),
        reward({"kind": "information", "form": "least"}),
        reward("snr"),
        reward({"kind": "snr", "form": "mean"}),
        reward("active-units", digits=0),
        reward("rate"),
        reward("variance-product", digits=3),
        reward({"kind": "variance-product", "form": "geomean"}, digits=3),
        reward({"kind": "variance-product", "form": "total"}, digits=3),
        reward({"kind": "variance-product", "form": "generalised"}, digits=3),
    ),
    posteriors=True,
)


# ---- validity ----------------------------------------------------------------------------------

FLOW = workflow(
    mixture={"kind": "gmm", "components": [4, 4], "n_init": 3},
    rewards=[{"kind": "silhouette", "components": 4}],
)


@cache
def places() -> Floats:
    """Key points (row, column) [px]."""
    return np.random.default_rng(5).uniform(5, 59, (N, 2))


@cache
def domains() -> Ints:
    """A type per key point: the type of the nearest of nine seeds, so that types form patches."""
    seeds = np.array([(r, c) for r in (12, 32, 52) for c in (12, 32, 52)], dtype=float)
    seeds += np.random.default_rng(6).uniform(-7, 7, seeds.shape)
    distance = np.linalg.norm(places()[:, None] - seeds, axis=2)
    return np.asarray(np.array([0, 1, 2, 3, 0, 1, 2, 3, 0])[distance.argmin(axis=1)])


def seen_again(
    run: WorkflowRun, turned: Floats | None = None, *, flow: Workflow | None = None
) -> WorkflowRun:
    """The run with patches cut again and, given a flow, trained again twice.

    Latents (N, 2) then differ by noise of 0.1; those of turned patches may differ by more.
    """
    rng = np.random.default_rng(7)

    def again(values: Floats) -> Floats:
        return np.asarray(values + 0.1 * rng.standard_normal(values.shape))

    z = run.latents.z_mean
    inside = np.ones(len(z), dtype=bool)
    recuts = {
        "rotation": Recut(z_mean=again(z if turned is None else turned), inside=inside),
        "jitter": Recut(z_mean=again(z), inside=inside),
    }
    others = () if flow is None else tuple(example_run(again(z), flow) for _ in range(2))
    return replace(run, recuts=recuts, replicates=others)


def placed(z: Floats, *, turned: Floats | None = None, shuffle: int | None = None) -> WorkflowRun:
    """A run with key points, cut and trained again; the seed ``shuffle`` mixes up its places."""
    run = seen_again(example_run(z, FLOW), turned, flow=FLOW)
    order = np.arange(N) if shuffle is None else np.random.default_rng(shuffle).permutation(N)
    return replace(run, keypoints=replace(run.keypoints, yx_px=places()[order]))


def drift() -> Floats:
    """What varies smoothly with the place, say brightness and contrast."""
    noise = np.random.default_rng(9).standard_normal((N, 2))
    return np.asarray((places() - 32) / 15 + 0.2 * noise)


def half_dead() -> WorkflowRun:
    """Types of which only the first unit knows."""
    run = placed(np.c_[clusters(domains())[:, 0], dead()[:, 1]])
    return with_posterior(run, FLOW, DEAD_SD)


SITES: Mapping[str, Callable[[], WorkflowRun]] = {
    "types in\npatches": lambda: placed(clusters(domains())),
    "types\nanywhere": lambda: placed(clusters(domains()), shuffle=8),
    "a drift,\nno types": lambda: placed(drift()),
    "orientation\nonly": lambda: placed(ring(), turned=turned_ring()),
    "one Gaussian": lambda: placed(gaussian()),
    "one dead unit": half_dead,
}
AGREEMENTS = ("spatial-kappa", "rotation-ami", "jitter-ami", "seed-ari", "bootstrap-stability")
VALIDITY = Picture(
    panels={name: cache(make) for name, make in SITES.items()},
    rows=(
        *(reward({"kind": kind, "components": 4}) for kind in (*AGREEMENTS, "silhouette")),
        reward("persistence"),
        reward({"kind": "persistence", "homology": 1}),
        reward({"kind": "persistence", "summary": "total"}),
    ),
    maps=True,
)


# ---- composite ---------------------------------------------------------------------------------

TERMS: tuple[dict[str, Any], ...] = (
    {"reward": "gain", "weight": 1.0, "centre": 0.5, "scale": 0.5},
    {"reward": {"kind": "information", "form": "least"}, "weight": 0.5, "centre": 2.0},
    {"reward": "rate", "weight": 0.25, "centre": 4.0},
    {"reward": {"kind": "rotation-ami", "components": 4}, "centre": 0.5, "scale": 0.5},
)
# Half the scale is left out: its gain is that of the clusters, and rounding would decide ranks.
JUDGED = ("four clusters", "overlapping", "ring", "one Gaussian", "one dead unit")


@cache
def judged(name: str) -> WorkflowRun:
    """One cloud, cut again; turned patches have another orientation, but the same type."""
    return seen_again(cloud(name), turned_ring() if name == "ring" else None)


@cache
def ranked() -> Reward:
    """The composite of ranks; the references are the feasible runs of the picture."""
    bare = [{"reward": term["reward"], "weight": term.get("weight", 1.0)} for term in TERMS]
    score = Reward.from_table(
        {"kind": "composite", "name": "rank", "combine": "rank", "terms": bare}
    )
    assert isinstance(score, Composite)
    runs = [run for run in map(judged, JUDGED) if run.collapse.feasible]
    return score.calibrated([[part.value(run) for run in runs] for part in score.parts])


def summed(name: str, terms: tuple[dict[str, Any], ...]) -> Row:
    """The line of a sum of these terms."""
    row = reward({"kind": "composite", "terms": terms})
    return row._replace(label=name)


def share(term: dict[str, Any]) -> Row:
    """What one term adds to the sum: the value of a composite that has no other."""
    return summed(f"{Reward.from_table(term['reward']).label}, weighted", (term,))


COMPOSITE = Picture(
    panels={name: partial(judged, name) for name in JUDGED},
    rows=(
        *(reward(term["reward"]) for term in TERMS),
        summed("sum of the first three", TERMS[:3]),
        summed("sum", TERMS),
        Row("rank", lambda run: ranked().value(run), "maximize"),
    ),
    terms=tuple(share(term) for term in TERMS),
)

PICTURES: Mapping[str, Picture] = {
    "mixture-criteria": MIXTURE,
    "bayesian": BAYESIAN,
    "information": INFORMATION,
    "validity": VALIDITY,
    "composite": COMPOSITE,
}
