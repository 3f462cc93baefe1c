"""The stages behind the training, and what all runs of a study must share."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds, derive
from vaeopt.core.types import (
    Collapse,
    Comparison,
    Floats,
    KeyPoints,
    Latents,
    Micrograph,
    Mixture,
    Patches,
    Recut,
    TrainedVae,
    WorkflowRun,
)
from vaeopt.kernels.agreement import draw_angles, draw_shifts
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.latent_filter.base import LARGEST_MARGIN, log_margin
from vaeopt.stages.mixture import choose_points
from vaeopt.stages.patches import recut
from vaeopt.stages.rewards import Reward
from vaeopt.stages.vae import content_means
from vaeopt.workflow.scores import needs_of
from vaeopt.workflow.settings import Workflow

__all__ = ["comparison_for", "complete", "of_all", "refit", "score", "timed"]

_RECUT_PIXELS = 32_000_000  # 128 MB of second patches at a time; the image is prepared for each


def comparison_for(
    workflow: Workflow,
    n_keypoints: int,
    *,
    windows_px: tuple[int, int] | None = None,
    seed: int = 0,
) -> Comparison:
    """What all runs over these windows must share (semantics 1.1, 4.4, 7.2).

    Args:
        workflow: gives the density filter and the largest fit.
        n_keypoints: fewest key points that any of the runs will see.
        windows_px: smallest and largest window; those of the workflow if left out.
        seed: of the study.

    Raises:
        DataError: too few key points for a mixture fit.
    """
    size = workflow.patches.size_px
    smallest, largest = windows_px or (size, size)
    n_fit = min(workflow.mixture.max_points, workflow.density_filter.count(n_keypoints))
    least = getattr(workflow.mixture, "components", (1, 1))[1] * (workflow.vae.latent_dim + 1)
    if n_fit < least:
        raise DataError(
            f"{n_keypoints} key points leave {n_fit} for the mixture fit, fewer than the {least} "
            f"that its largest number of components needs",
            setting="workflow.keypoints",
            remedy="loosen the detector, lower mixture.components or use a larger image",
        )
    return Comparison(largest_window_px=largest, core_px=smallest, n_fit=n_fit, seed=seed)


def score(
    workflow: Workflow,
    micrograph: Micrograph,
    keypoints: KeyPoints,
    patches: Patches,
    vae: TrainedVae,
    latents: Latents,
    *,
    comparison: Comparison,
    seeds: Seeds,
    seconds: dict[str, float],
    recuts: Mapping[str, Recut] | None = None,
) -> WorkflowRun:
    """The stages behind the encoder: filters, mixtures, and whatever else the rewards need."""
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
    diagnostics = unit_diagnostics(
        latents.z_mean, latents.z_std, latents.code_mean, latents.code_std
    )
    if workflow.latents == "sample":
        latents = replace(latents, z_sample=_drawn(latents, comparison.seed))
    with timed(seconds, "density_filter"):
        kept = workflow.density_filter(latents.z)
        subsets = [
            choose_points(kept, comparison.n_fit, comparison.seed, subset=subset)
            for subset in range(workflow.mixture.subsets)
        ]
    with timed(seconds, "mixture"):
        mixture, *resampled = (
            workflow.mixture.fit(latents.z, kept=kept, fit_index=points, seeds=seeds)
            for points in subsets
        )
    run = WorkflowRun(
        micrograph=micrograph,
        keypoints=keypoints,
        patches=patches,
        vae=vae,
        latents=latents,
        diagnostics=diagnostics,
        collapse=workflow.latent_filter(diagnostics, raw_space=_raw_space(workflow)),
        mixture=mixture,
        resampled=tuple(resampled),
        comparison=comparison,
        seconds=seconds,
        recuts=recuts or {},
    )
    run = complete(workflow, run, workflow.values, seeds=seeds)
    return replace(run, collapse=_verdict(workflow, run, diverged=vae.diverged or not finite))


def _raw_space(workflow: Workflow) -> bool:
    """Whether the scale of the latents enters a value that is optimised."""
    needed = "bayesian" in needs_of(workflow.rewards)
    return workflow.mixture.raw_space or (needed and workflow.bayesian.raw_space)


def complete(
    workflow: Workflow, run: WorkflowRun, rewards: Iterable[Reward], *, seeds: Seeds
) -> WorkflowRun:
    """The run with everything that these rewards look at; nothing is trained.

    Args:
        workflow: gives the Bayesian mixture.
        run: straight from the encoder, or restored from files; replicates are completed too.
        rewards: those that will be computed.
        seeds: of the run.
    """
    needs = needs_of(rewards)
    members = [
        _with_needs(workflow, member, needs, seeds.replicate(m))
        for m, member in enumerate(run.members)
    ]
    return replace(members[0], replicates=tuple(members[1:]))


def refit(
    workflow: Workflow, run: WorkflowRun, rewards: Iterable[Reward], *, seeds: Seeds
) -> WorkflowRun:
    """The run with everything behind the encoder computed anew; nothing is trained.

    Args:
        workflow: other mixtures or latents than those that the run was made with.
        run: restored from files; replicates are computed anew too.
        rewards: those that will be computed.
        seeds: of the run.
    """
    # Only what these rewards look at: the study may ask for more, which takes its time.
    asked = workflow.model_copy(update={"rewards": tuple(rewards), "scores": ()})
    members = [
        score(
            asked,
            member.micrograph,
            member.keypoints,
            member.patches,
            member.vae,
            replace(member.latents, z_sample=None),
            comparison=member.comparison,
            seeds=seeds.replicate(m),
            seconds={},
            recuts=member.recuts,
        )
        for m, member in enumerate(run.members)
    ]
    return replace(members[0], replicates=tuple(members[1:]), collapse=of_all(members))


def _with_needs(
    workflow: Workflow, run: WorkflowRun, needs: frozenset[str], seeds: Seeds
) -> WorkflowRun:
    seconds = dict(run.seconds)
    if "bayesian" in needs and run.bayesian is None:
        with timed(seconds, "bayesian"):
            run = replace(run, bayesian=_evidence(workflow, run, seeds))
    recuts = dict(run.recuts)
    for name in sorted(needs & {"rotation", "jitter"} - recuts.keys()):
        with timed(seconds, name):
            recuts[name] = _recut(run, name)
    return replace(run, recuts=recuts, seconds=seconds)


def _evidence(workflow: Workflow, run: WorkflowRun, seeds: Seeds) -> Mixture:
    if run.mixture.elbo is not None or workflow.mixture.estimates_elbo:
        return run.mixture
    return workflow.bayesian.fit(
        run.latents.z, kept=run.mixture.kept, fit_index=run.mixture.fit_index, seeds=seeds
    )


def _recut(run: WorkflowRun, name: str) -> Recut:
    """Latents of the same key points at another pose; the poses are those of the whole study."""
    points, size = run.keypoints, run.patches.size_px
    n, seed = len(points), run.comparison.seed
    angle = draw_angles(n, seed) if name == "rotation" else None
    shift = draw_shifts(n, seed) if name == "jitter" else None
    z_mean, inside = np.zeros((n, run.latents.latent_dim)), np.zeros(n, dtype=bool)
    step = max(1, _RECUT_PIXELS // size**2)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        patches, inside[rows] = recut(
            run.micrograph,
            KeyPoints(yx_px=points.yx_px[rows], strength=points.strength[rows]),
            size,
            angle_rad=None if angle is None else angle[rows],
            shift_px=None if shift is None else shift[rows],
            largest_window_px=run.comparison.largest_window_px,
        )
        z_mean[rows] = content_means(run.vae, patches)
    z_mean[~inside] = 0.0
    return Recut(z_mean=_or(0.0, z_mean), inside=inside)


def _drawn(latents: Latents, study_seed: int) -> Floats:
    """One draw per patch; the same noise in all trials, so that they differ by latents only."""
    rng = np.random.default_rng(derive(study_seed, "latent-draw"))
    noise = rng.standard_normal(latents.z_mean.shape)
    return np.asarray(latents.z_mean + latents.z_std * noise)


def _or(stand_in: float, values: Floats) -> Floats:
    """The same values with a number where there is none."""
    return np.nan_to_num(values, nan=stand_in, posinf=stand_in, neginf=stand_in)


def _verdict(workflow: Workflow, run: WorkflowRun, *, diverged: bool) -> Collapse:
    """The filter's verdict and everything else that makes a run impossible to score."""
    margins, reasons = [run.collapse.margin], list(run.collapse.reasons)
    fitted, wanted = len(run.mixture.fit_index), run.comparison.n_fit
    if fitted < wanted:
        margins.append(log_margin(wanted, fitted))
        reasons.append(
            f"{fitted} points passed the density filter, {wanted} are needed (too_few_points)"
        )
    failures = {mixture.failure for mixture in (run.mixture, *run.resampled)}
    if "bayesian" in needs_of(workflow.rewards) and run.bayesian is not None:
        failures.add(run.bayesian.failure)
    for failure in sorted(failures - {""}):
        margins.append(LARGEST_MARGIN)
        reasons.append(f"no mixture could be fitted: {failure} (no_mixture)")
    if diverged:
        margins.append(LARGEST_MARGIN)
        reasons.append("the training loss left the finite numbers (diverged)")
    return Collapse(margin=max(margins), reasons=tuple(reasons))


def of_all(members: list[WorkflowRun]) -> Collapse:
    """A mean over trainings is worth something only if none of them has collapsed."""
    if len(members) == 1:
        return members[0].collapse
    reasons = [
        f"replicate {m}: {reason}"
        for m, member in enumerate(members)
        for reason in member.collapse.reasons
    ]
    return Collapse(margin=max(m.collapse.margin for m in members), reasons=tuple(reasons))


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how long the body took, under the name of its stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
