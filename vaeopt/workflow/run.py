"""The sentence: all stages in order."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import (
    Collapse,
    Comparison,
    Floats,
    KeyPoints,
    Latents,
    Micrograph,
    Mixture,
    Patches,
    TrainedVae,
    WorkflowRun,
)
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.keypoints import detect
from vaeopt.stages.latent_filter.base import LARGEST_MARGIN, log_margin
from vaeopt.stages.mixture import choose_points
from vaeopt.stages.patches import cut
from vaeopt.stages.vae import encode, train
from vaeopt.workflow.cache import StageCache
from vaeopt.workflow.settings import Workflow

__all__ = ["comparison_for", "rewards_of", "score", "walk"]


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


def walk(
    workflow: Workflow,
    micrograph: Micrograph,
    *,
    comparison: Comparison,
    seeds: Seeds,
    cache: StageCache | None = None,
    folder: Path = Path(),
    on_epoch: Callable[[int, int, float], None] | None = None,
) -> WorkflowRun:
    """Walk once through all stages.

    Args:
        workflow: fixed settings of every stage.
        micrograph: the image.
        comparison: what this run shares with those that it will be compared with.
        seeds: all randomness of the run.
        cache: key points and patches of earlier runs on the same image.
        folder: where relative paths of the settings start.
        on_epoch: called after each training epoch with (epoch, epochs, loss [nats]).
    """
    seconds: dict[str, float] = {}
    cache = cache or StageCache()
    with _timed(seconds, "keypoints"):
        keypoints = cache.get(
            "keypoints",
            (workflow.keypoints, comparison.largest_window_px),
            lambda: detect(
                workflow.keypoints,
                micrograph,
                largest_window_px=comparison.largest_window_px,
                folder=folder,
            ),
        )
    with _timed(seconds, "patches"):
        patches = cache.get(
            "patches",
            (workflow.keypoints, comparison.largest_window_px, workflow.patches),
            lambda: cut(workflow.patches, micrograph, keypoints),
        )
    with _timed(seconds, "vae"):
        vae = train(workflow.vae, patches, seeds=seeds, micrograph=micrograph, on_epoch=on_epoch)
    with _timed(seconds, "encode"):
        latents = encode(vae, patches, core_px=comparison.core_px)
    return score(
        workflow,
        micrograph,
        keypoints,
        patches,
        vae,
        latents,
        comparison=comparison,
        seeds=seeds,
        seconds=seconds,
    )


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
) -> WorkflowRun:
    """The stages behind the encoder: filters and mixture."""
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
    with _timed(seconds, "density_filter"):
        kept = workflow.density_filter(latents.z_mean)
        fit_index = choose_points(kept, comparison.n_fit, comparison.seed)
    with _timed(seconds, "mixture"):
        mixture = workflow.mixture.fit(latents.z_mean, kept=kept, fit_index=fit_index, seeds=seeds)
    healthy = workflow.latent_filter(diagnostics, raw_space=workflow.mixture.raw_space)
    collapse = _verdict(healthy, mixture, comparison, diverged=vae.diverged or not finite)
    return WorkflowRun(
        micrograph=micrograph,
        keypoints=keypoints,
        patches=patches,
        vae=vae,
        latents=latents,
        diagnostics=diagnostics,
        collapse=collapse,
        mixture=mixture,
        comparison=comparison,
        seconds=seconds,
    )


def _or(stand_in: float, values: Floats) -> Floats:
    """The same values with a number where there is none."""
    return np.nan_to_num(values, nan=stand_in, posinf=stand_in, neginf=stand_in)


def rewards_of(workflow: Workflow, run: WorkflowRun) -> dict[str, float]:
    """Value of every reward by label, in the order of the study file; all finite."""
    return {reward.label: reward.value(run) for reward in workflow.rewards}


def _verdict(
    healthy: Collapse, mixture: Mixture, comparison: Comparison, *, diverged: bool
) -> Collapse:
    """The filter's verdict and everything else that makes a run impossible to score."""
    margins, reasons = [healthy.margin], list(healthy.reasons)
    fitted = len(mixture.fit_index)
    if fitted < comparison.n_fit:
        margins.append(log_margin(comparison.n_fit, fitted))
        reasons.append(
            f"{fitted} points passed the density filter, {comparison.n_fit} are needed "
            "(too_few_points)"
        )
    if mixture.failure:
        margins.append(LARGEST_MARGIN)
        reasons.append(f"no mixture could be fitted: {mixture.failure} (no_mixture)")
    if diverged:
        margins.append(LARGEST_MARGIN)
        reasons.append("the training loss left the finite numbers (diverged)")
    return Collapse(margin=max(margins), reasons=tuple(reasons))


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
