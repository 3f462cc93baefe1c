"""Members of runs, trainings and their repetitions, from the encoder to the mixtures."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from vaeopt.core.seeds import Seeds, derive
from vaeopt.core.types import (
    Bools,
    Comparison,
    Floats,
    Ints,
    KeyPoints,
    Latents,
    Micrograph,
    Mixture,
    Patches,
    Recut,
    TrainedVae,
    WorkflowRun,
)
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.mixture import FitRequest, choose_points
from vaeopt.workflow.fits import Fit, Fitted, fit_all
from vaeopt.workflow.scores import needs_of, raw_space
from vaeopt.workflow.settings import Workflow

__all__ = ["Asked", "Filtered", "filtered", "timed", "with_evidence", "with_mixtures"]

Asked = tuple[Workflow, WorkflowRun | Exception, Seeds, frozenset[str]]
"""a member, its seeds, and what its rewards look at"""


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """A member of a run in front of its mixtures."""

    workflow: Workflow
    seeds: Seeds
    micrograph: Micrograph
    keypoints: KeyPoints
    patches: Patches
    vae: TrainedVae
    latents: Latents
    finite: bool
    """whether the encoder gave finite latents"""
    kept: Bools
    """(n,)"""
    subsets: tuple[Ints, ...]
    """rows to fit, of each subset"""
    comparison: Comparison
    seconds: Mapping[str, float]
    recuts: Mapping[str, Recut]
    needs: frozenset[str]
    """what the rewards look at"""


def filtered(
    workflow: Workflow,
    micrograph: Micrograph,
    keypoints: KeyPoints,
    patches: Patches,
    vae: TrainedVae,
    latents: Latents,
    *,
    comparison: Comparison,
    seeds: Seeds,
    seconds: Mapping[str, float],
    recuts: Mapping[str, Recut] | None = None,
) -> Filtered:
    """What follows the encoder, up to the points that mixtures are fitted to."""
    posterior = (latents.z_mean, latents.z_std, latents.code_mean, latents.code_std)
    finite = all(bool(np.isfinite(part).all()) for part in posterior)
    if not finite:  # weights so large that the encoder overflows: as good as diverged
        latents = replace(
            latents,
            z_mean=_or(0.0, latents.z_mean),
            z_std=_or(1.0, latents.z_std),
            code_mean=_or(0.0, latents.code_mean),
            code_std=_or(1.0, latents.code_std),
        )
    if workflow.latents == "sample":
        latents = replace(latents, z_sample=_drawn(latents, comparison.seed))
    seconds = dict(seconds)
    with timed(seconds, "density_filter"):
        kept = workflow.density_filter(latents.z)
        subsets = tuple(
            choose_points(kept, comparison.n_fit, comparison.seed, subset=subset)
            for subset in range(workflow.mixture.subsets)
        )
    return Filtered(
        workflow=workflow,
        seeds=seeds,
        micrograph=micrograph,
        keypoints=keypoints,
        patches=patches,
        vae=vae,
        latents=latents,
        finite=finite,
        kept=kept,
        subsets=subsets,
        comparison=comparison,
        seconds=seconds,
        recuts=recuts or {},
        needs=needs_of(workflow.values),
    )


def with_mixtures(members: Sequence[Filtered]) -> list[WorkflowRun | Exception]:
    """The members with all mixtures that their rewards look at, or what went wrong with each."""
    wanted = [
        Fit(
            member.workflow.mixture,
            FitRequest(z=member.latents.z, kept=member.kept, fit_index=points, seeds=member.seeds),
        )
        for member in members
        for points in member.subsets
    ]
    fits = iter(fit_all(wanted))
    runs = [_run_of(member, [next(fits) for _ in member.subsets]) for member in members]
    return with_evidence(
        [
            (member.workflow, run, member.seeds, member.needs)
            for member, run in zip(members, runs, strict=True)
        ]
    )


def _run_of(member: Filtered, fits: Sequence[Fitted]) -> WorkflowRun | Exception:
    mixtures = []
    for outcome, _ in fits:
        if isinstance(outcome, Exception):
            return outcome
        mixtures.append(outcome)
    latents, workflow = member.latents, member.workflow
    try:
        diagnostics = unit_diagnostics(
            latents.z_mean, latents.z_std, latents.code_mean, latents.code_std
        )
        return WorkflowRun(
            micrograph=member.micrograph,
            keypoints=member.keypoints,
            patches=member.patches,
            vae=member.vae,
            latents=latents,
            diagnostics=diagnostics,
            collapse=workflow.latent_filter(diagnostics, raw_space=raw_space(workflow)),
            mixture=mixtures[0],
            resampled=tuple(mixtures[1:]),
            comparison=member.comparison,
            seconds={**member.seconds, "mixture": sum(seconds for _, seconds in fits)},
            recuts=member.recuts,
        )
    except Exception as error:  # a latent filter of the user's own
        return error


def with_evidence(asked: Sequence[Asked]) -> list[WorkflowRun | Exception]:
    """The runs, those whose rewards need it with the Bayesian mixture; what failed stays so."""
    found: dict[int, WorkflowRun | Exception] = {}
    wanted: dict[int, tuple[WorkflowRun, Fit]] = {}
    for number, (workflow, run, seeds, needs) in enumerate(asked):
        found[number] = run
        if isinstance(run, Exception) or "bayesian" not in needs or run.bayesian is not None:
            continue
        mixture = run.mixture
        if mixture.elbo is not None or workflow.mixture.estimates_elbo:
            found[number] = _with_bayesian(run, mixture, 0.0)
            continue
        request = FitRequest(
            z=run.latents.z, kept=mixture.kept, fit_index=mixture.fit_index, seeds=seeds
        )
        wanted[number] = run, Fit(workflow.bayesian, request)
    fits = fit_all([fit for _, fit in wanted.values()])
    for (number, (run, _)), (outcome, seconds) in zip(wanted.items(), fits, strict=True):
        if isinstance(outcome, Exception):
            found[number] = outcome
        else:
            found[number] = _with_bayesian(run, outcome, seconds)
    return list(found.values())


def _with_bayesian(run: WorkflowRun, mixture: Mixture, seconds: float) -> WorkflowRun:
    return replace(run, bayesian=mixture, seconds={**run.seconds, "bayesian": seconds})


def _drawn(latents: Latents, study_seed: int) -> Floats:
    """One draw per patch; the same noise in all trials, so that they differ by latents only."""
    rng = np.random.default_rng(derive(study_seed, "latent-draw"))
    noise = rng.standard_normal(latents.z_mean.shape)
    return np.asarray(latents.z_mean + latents.z_std * noise)


def _or(stand_in: float, values: Floats) -> Floats:
    """The same values with a number where there is none."""
    return np.nan_to_num(values, nan=stand_in, posinf=stand_in, neginf=stand_in)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the body took, under the name of its stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
