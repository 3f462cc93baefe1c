"""The stages behind the training, and what all runs of a study must share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import (
    Collapse,
    Comparison,
    KeyPoints,
    Latents,
    Micrograph,
    Patches,
    Recut,
    TrainedVae,
    WorkflowRun,
)
from vaeopt.stages.latent_filter.base import LARGEST_MARGIN, log_margin
from vaeopt.stages.rewards import Reward
from vaeopt.workflow.cache import StageCache
from vaeopt.workflow.early import HOPELESS_MARGIN
from vaeopt.workflow.look import LOOK, look_of
from vaeopt.workflow.members import Filtered, filtered, timed, with_evidence, with_mixtures
from vaeopt.workflow.recuts import POSES, recut_of
from vaeopt.workflow.scores import needs_of
from vaeopt.workflow.settings import Workflow

__all__ = ["as_one", "comparison_for", "complete", "refit", "score", "scored"]


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


def scored(member: Filtered, run: WorkflowRun, cache: StageCache) -> WorkflowRun:
    """A member with its mixtures, and whatever else the rewards need."""
    run = _with_views(run, member.needs, cache)
    return replace(run, collapse=_verdict(member.workflow, run, finite=member.finite))


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
    seconds: Mapping[str, float],
    recuts: Mapping[str, Recut] | None = None,
) -> WorkflowRun:
    """The stages behind the encoder: filters, mixtures, and whatever else the rewards need."""
    member = filtered(
        workflow,
        micrograph,
        keypoints,
        patches,
        vae,
        latents,
        comparison=comparison,
        seeds=seeds,
        seconds=seconds,
        recuts=recuts,
    )
    return _scored_together([member], StageCache())[0]


def _scored_together(members: Sequence[Filtered], cache: StageCache) -> list[WorkflowRun]:
    """All of them, or the first error."""
    runs = _whole(with_mixtures(members))
    return [scored(member, run, cache) for member, run in zip(members, runs, strict=True)]


def _whole(runs: Iterable[WorkflowRun | Exception]) -> list[WorkflowRun]:
    found = []
    for run in runs:
        if isinstance(run, Exception):
            raise run
        found.append(run)
    return found


def complete(
    workflow: Workflow,
    run: WorkflowRun,
    rewards: Iterable[Reward],
    *,
    seeds: Seeds,
    cache: StageCache | None = None,
) -> WorkflowRun:
    """The run with everything that these rewards look at; nothing is trained.

    Args:
        workflow: gives the Bayesian mixture.
        run: straight from the encoder, or restored from files; replicates are completed too.
        rewards: those that will be computed.
        seeds: of the run.
        cache: second patches of other runs on the same image.
    """
    needs, cache = needs_of(rewards), cache or StageCache()
    fitted = with_evidence(
        [(workflow, member, seeds.replicate(m), needs) for m, member in enumerate(run.members)]
    )
    members = [_with_views(member, needs, cache) for member in _whole(fitted)]
    return replace(members[0], replicates=tuple(members[1:]))


def refit(
    workflow: Workflow,
    run: WorkflowRun,
    rewards: Iterable[Reward],
    *,
    seeds: Seeds,
    cache: StageCache | None = None,
) -> WorkflowRun:
    """The run with everything behind the encoder computed anew; nothing is trained.

    Args:
        workflow: other mixtures or latents than those that the run was made with.
        run: restored from files; replicates are computed anew too.
        rewards: those that will be computed.
        seeds: of the run.
        cache: second patches of other runs on the same image.
    """
    # Only what these rewards look at: the study may ask for more, which takes its time.
    asked = workflow.model_copy(update={"rewards": tuple(rewards), "scores": ()})
    members = [
        filtered(
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
    return as_one(_scored_together(members, cache or StageCache()))


def _with_views(run: WorkflowRun, needs: frozenset[str], cache: StageCache) -> WorkflowRun:
    """The run with second cuts and looks, as far as they are asked for."""
    seconds, recuts = dict(run.seconds), dict(run.recuts)
    for name in sorted(needs & POSES - recuts.keys()):
        with timed(seconds, name):
            recuts[name] = recut_of(run, name, cache)
    look = run.look
    if LOOK in needs and look is None:
        with timed(seconds, LOOK):
            look = look_of(run, cache)
    return replace(run, recuts=recuts, look=look, seconds=seconds)


def _verdict(workflow: Workflow, run: WorkflowRun, *, finite: bool) -> Collapse:
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
    vae, done, asked = run.vae, len(run.vae.loss_nats), run.vae.config["epochs"]
    if vae.diverged:
        margins.append(LARGEST_MARGIN)
        text = f"the training loss left the finite numbers in epoch {done + 1} of {asked}"
        reasons.append(f"{text} (diverged)")
    elif not finite:
        margins.append(LARGEST_MARGIN)
        reasons.append("the latents left the finite numbers (diverged)")
    if vae.stopped:
        # Another filter may judge it later: a training that was cut short stays out of the race.
        margins.append(HOPELESS_MARGIN)
        reasons.insert(0, f"stopped at epoch {done} of {asked} as collapsed (stopped_early)")
    return Collapse(margin=max(margins), reasons=tuple(reasons))


def as_one(members: Sequence[WorkflowRun]) -> WorkflowRun:
    """The run of these trainings; the first stands for it."""
    return replace(members[0], replicates=tuple(members[1:]), collapse=_of_all(members))


def _of_all(members: Sequence[WorkflowRun]) -> Collapse:
    """A mean over trainings is worth something only if none of them has collapsed."""
    if len(members) == 1:
        return members[0].collapse
    reasons = [
        f"replicate {m}: {reason}"
        for m, member in enumerate(members)
        for reason in member.collapse.reasons
    ]
    return Collapse(margin=max(m.collapse.margin for m in members), reasons=tuple(reasons))
