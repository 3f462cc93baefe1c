"""Train what is missing on one scene, and keep every score beside the truth."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaeopt.core.errors import VaeoptError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.study.session import Session
from vaeopt.truth.columns import columns_of
from vaeopt.truth.kept import keep, restored
from vaeopt.truth.metrics import truth_of
from vaeopt.truth.rows import Row
from vaeopt.truth.scene import ReadyScene, Task
from vaeopt.workflow import Workflow, resolve_devices, walk_many
from vaeopt.workflow.run import refit
from vaeopt.workflow.scores import known_score

__all__ = ["Failure", "rescored", "row_of", "trained"]


@dataclass(frozen=True)
class Failure:
    """A training that came to nothing; it is tried again at the next start."""

    task: Task
    reason: str


def trained(scene: ReadyScene, tasks: Sequence[Task], *, kept: bool) -> Iterator[Row | Failure]:
    """Train together what can be, and score it.

    Args:
        scene: made ready.
        tasks: trainings on it.
        kept: also write the latents of each to a file.
    """
    workflows = [scene.workflow(task) for task in tasks]
    for workflow in workflows:
        resolve_devices(workflow)  # now, not behind the training
    runs = walk_many(
        workflows,
        scene.session.micrograph,
        comparison=scene.session.comparison,
        seeds=[scene.seeds(task) for task in tasks],
        cache=scene.session.cache,
        folder=scene.file.folder,
    )
    for task, run in zip(tasks, runs, strict=True):
        if isinstance(run, VaeoptError):
            yield Failure(task, str(run))
            continue
        if isinstance(run, Exception):
            raise run
        row = row_of(scene, task, run)
        if kept:
            keep(scene, task, run)
        yield row


def rescored(scene: ReadyScene, task: Task) -> Row:
    """The row of a training, computed anew from the latents that were kept of it.

    Raises:
        StudyError: they cannot be read.
    """
    return row_of(scene, task, restored(scene, task))


def row_of(scene: ReadyScene, task: Task, run: WorkflowRun) -> Row:
    """Everything that is kept of one training.

    Args:
        scene: where it was trained.
        task: which training it is.
        run: scored by the workflow of the benchmark.
    """
    begun = time.perf_counter()
    settings = scene.file.settings
    scores: dict[str, float | None] = {}
    for reward in columns_of(settings.workflow, settings.scores):
        scores[reward.label] = _value(reward, run)
    for name, view in settings.views.items():
        seen = _seen(view, run, scene.seeds(task), scene.session)
        for reward in view.values:
            scores[f"{name}.{reward.label}"] = None if seen is None else _value(reward, seen)
    truth = _truth(scene, run)
    return Row(
        params=dict(task.params),
        seed=task.seed,
        margin=run.collapse.margin,
        reason="; ".join(run.collapse.reasons),
        truth=truth,
        scores=scores,
        epochs=len(run.vae.loss_nats),
        seconds=round(sum(run.seconds.values()) + time.perf_counter() - begun, 2),
    )


def _value(reward: Any, run: WorkflowRun) -> float | None:
    """The value, or None where there is none: one column must not take the training with it."""
    try:
        score = known_score(reward, run)
    except VaeoptError:
        return None
    return None if score is None else score.value


def _seen(view: Workflow, run: WorkflowRun, seeds: Seeds, session: Session) -> WorkflowRun | None:
    """The same latents behind the filters and mixtures of a view; None where they fail."""
    try:
        return refit(view, run, view.values, seeds=seeds, cache=session.cache)
    except VaeoptError:
        return None


def _truth(scene: ReadyScene, run: WorkflowRun) -> dict[str, Any]:
    """The truth of the training, or the mean over the replicates of one."""
    tables = [truth_of(member, scene.scan).to_table() for member in run.members]
    if len(tables) == 1:
        return tables[0]
    return {
        name: None
        if any(t[name] is None for t in tables)
        else float(np.mean([t[name] for t in tables]))
        for name in tables[0]
    }
