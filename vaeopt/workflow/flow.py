"""The sentence: all stages in order, for one run or for several that train together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Comparison, KeyPoints, Micrograph, WorkflowRun
from vaeopt.stages.keypoints import detect
from vaeopt.stages.patches import cut
from vaeopt.stages.vae import Request, Training, encode, train_groups
from vaeopt.workflow.cache import StageCache
from vaeopt.workflow.early import watch_of
from vaeopt.workflow.members import Filtered, filtered, timed, with_mixtures
from vaeopt.workflow.run import as_one, scored
from vaeopt.workflow.settings import Workflow

__all__ = ["walk", "walk_many"]


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
    """Walk through all stages; replicates share key points and patches and train together.

    The seconds of a stage that trainings share are shared out equally among them.

    Args:
        workflow: fixed settings of every stage.
        micrograph: the image.
        comparison: what this run shares with those that it will be compared with.
        seeds: all randomness of the run.
        cache: key points and patches of earlier runs on the same image.
        folder: where relative paths of the settings start.
        on_epoch: called after each training epoch with (epoch, epochs, loss [nats]), the mean over
            the replicates that are still training.
    """
    (run,) = walk_many(
        [workflow],
        micrograph,
        comparison=comparison,
        seeds=[seeds],
        cache=cache,
        folder=folder,
        on_epoch=on_epoch,
    )
    if isinstance(run, Exception):
        raise run
    return run


def walk_many(
    workflows: Sequence[Workflow],
    micrograph: Micrograph,
    *,
    comparison: Comparison,
    seeds: Sequence[Seeds],
    cache: StageCache | None = None,
    folder: Path = Path(),
    on_epoch: Callable[[int, int, float], None] | None = None,
    on_group: Callable[[Sequence[int]], None] | None = None,
) -> Iterator[WorkflowRun | Exception]:
    """Walk several times; what can be trained together is (:func:`train_groups`).

    The mixtures of runs that were trained together are fitted together too, with those of their
    replicates and subsets; the seconds of a batch are shared out equally among its fits.

    Args:
        workflows: fixed settings of every stage, of each run.
        micrograph: the image.
        comparison: what the runs share.
        seeds: of each run.
        cache: key points and patches of earlier runs on the same image.
        folder: where relative paths of the settings start.
        on_epoch: called after each training epoch with (epoch, epochs, loss [nats]), the mean over
            the replicates of all runs of the group that trains.
        on_group: called before a group of runs trains, with their positions.

    Yields:
        The runs in order, each as soon as it is scored, or why there is none: one that fails takes
        no other with it. A run that trains alone is scored before the next one trains.
    """
    cache = cache or StageCache()
    begun: dict[int, _Begun] = {}
    failed: dict[int, Exception] = {}
    for i, (workflow, own) in enumerate(zip(workflows, seeds, strict=True)):
        try:
            begun[i] = _begin(workflow, micrograph, comparison, own, cache, folder)
        except Exception as error:
            failed[i] = error
    positions = list(begun)

    def at(group: Sequence[int]) -> None:
        if on_group is not None:
            on_group([positions[number] for number in group])

    requests = [each.request for each in begun.values()]
    groups = train_groups(requests, on_epoch=on_epoch, on_group=at)
    fitted: dict[int, _Fitted | Exception] = dict(failed)
    for i in range(len(workflows)):
        if i not in fitted:
            trainings = {positions[number]: training for number, training in next(groups).items()}
            group = {position: begun.pop(position) for position in trainings}
            fitted |= _fitted(group, trainings, workflows, comparison)
        yield _ended(fitted.pop(i), cache)


@dataclass(frozen=True)
class _Begun:
    """A run before its training."""

    keypoints: KeyPoints
    request: Request
    seconds: dict[str, float]
    """of all replicates"""


def _begin(
    workflow: Workflow,
    micrograph: Micrograph,
    comparison: Comparison,
    seeds: Seeds,
    cache: StageCache,
    folder: Path,
) -> _Begun:
    """The stages before the VAE."""
    seconds = dict[str, float]()
    with timed(seconds, "keypoints"):
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
    with timed(seconds, "patches"):
        patches = cache.get(
            "patches",
            (workflow.keypoints, comparison.largest_window_px, workflow.patches),
            lambda: cut(workflow.patches, micrograph, keypoints),
        )
    request = Request(
        settings=workflow.vae,
        patches=patches,
        seeds=tuple(seeds.replicate(member) for member in range(workflow.replicates)),
        micrograph=micrograph,
        watch=watch_of(workflow, patches),
    )
    return _Begun(keypoints, request, seconds)


@dataclass(frozen=True)
class _Fitted:
    """A run whose mixtures are there."""

    members: list[tuple[Filtered, WorkflowRun]]


def _fitted(
    begun: Mapping[int, _Begun],
    trainings: Mapping[int, Training | Exception],
    workflows: Sequence[Workflow],
    comparison: Comparison,
) -> dict[int, _Fitted | Exception]:
    """The runs of a group up to their mixtures, which are fitted together, or why there is none."""
    found: dict[int, _Fitted | Exception] = {}
    ready: dict[int, list[Filtered]] = {}
    for i, training in trainings.items():
        if isinstance(training, Exception):
            found[i] = training
            continue
        try:
            ready[i] = _filtered(workflows[i], begun[i], training, comparison)
        except Exception as error:
            found[i] = error
    runs = iter(with_mixtures([member for members in ready.values() for member in members]))
    for i, members in ready.items():
        pairs = []
        for member in members:
            run = next(runs)
            if isinstance(run, Exception):
                found.setdefault(i, run)
            else:
                pairs.append((member, run))
        found.setdefault(i, _Fitted(pairs))
    return found


def _filtered(
    workflow: Workflow, begun: _Begun, training: Training, comparison: Comparison
) -> list[Filtered]:
    request, n = begun.request, len(training.vaes)
    assert request.micrograph is not None
    members = []
    for vae, own in zip(training.vaes, request.seeds, strict=True):
        shared = {**begun.seconds, "vae": training.seconds}
        seconds = {stage: total / n for stage, total in shared.items()}
        with timed(seconds, "encode"):
            latents = encode(vae, request.patches, core_px=comparison.core_px)
        members.append(
            filtered(
                workflow,
                request.micrograph,
                begun.keypoints,
                request.patches,
                vae,
                latents,
                comparison=comparison,
                seeds=own,
                seconds=seconds,
            )
        )
    return members


def _ended(fitted: _Fitted | Exception, cache: StageCache) -> WorkflowRun | Exception:
    """The scored run, or what went wrong there or before."""
    if isinstance(fitted, Exception):
        return fitted
    try:
        return as_one([scored(member, run, cache) for member, run in fitted.members])
    except Exception as error:
        return error
