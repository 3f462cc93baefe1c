"""One walk through all stages beside the search: as written, or again from a record."""

from collections.abc import Callable
from dataclasses import dataclass

import optuna
import torch
from optuna.trial import FrozenTrial

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.study.asking.repeats import own_values
from vaeopt.study.progress import Progress, Silent
from vaeopt.study.results.records import environment, environment_of, seeds_of, settings_of
from vaeopt.study.session import Session
from vaeopt.workflow import Workflow, resolve_devices, rewards_of, walk

__all__ = ["Replay", "replay", "retrain", "run_once"]


def retrain(
    session: Session,
    workflow: Workflow,
    seeds: Seeds,
    *,
    on_epoch: Callable[[int, int, float], None] | None = None,
) -> WorkflowRun:
    """Walk through all stages with these settings and seeds; nothing is stored."""
    resolve_devices(workflow)  # now, not behind the training
    return walk(
        workflow,
        session.micrograph,
        comparison=session.comparison,
        seeds=seeds,
        cache=session.cache,
        folder=session.file.folder,
        on_epoch=on_epoch,
    )


def run_once(session: Session, *, progress: Progress | None = None) -> WorkflowRun:
    """One walk with the settings as written, no Optuna; seeded as trial 0 would be."""
    show: Progress = progress or Silent()
    settings = session.file.settings
    return retrain(session, settings.workflow, Seeds(settings.optuna.seed, 0), on_epoch=show.epoch)


@dataclass(frozen=True)
class Replay:
    """Values of a trial as recorded and as they come out again."""

    number: int
    recorded: dict[str, float]
    repeated: dict[str, float]
    elsewhere: tuple[str, ...] = ()
    """what the environment of the record had that this one has not, e.g. ``torch 2.12.0``"""
    run: WorkflowRun | None = None
    """what came out this time"""

    def differences(self, tolerance: float) -> dict[str, float]:
        """Relative differences above ``tolerance``, by reward."""
        found = {}
        for name, was in self.recorded.items():
            difference = abs(self.repeated[name] - was) / max(abs(was), 1e-12)
            if difference > tolerance:
                found[name] = difference
        return found


def replay(
    study: optuna.Study, session: Session, trial: FrozenTrial, *, progress: Progress | None = None
) -> Replay:
    """Run a finished trial again from its record alone; nothing is stored."""
    show: Progress = progress or Silent()
    workflow = settings_of(trial)
    threads = torch.get_num_threads()
    # Sums are ordered by thread: another number of threads differs in the sixth digit.
    torch.set_num_threads(environment_of(trial).get("threads", threads))
    try:
        run = retrain(session, workflow, seeds_of(trial, session), on_epoch=show.epoch)
    finally:
        torch.set_num_threads(threads)
    names = [reward.label for reward in workflow.rewards]
    recorded = dict(zip(names, own_values(trial), strict=True))
    was, now = environment_of(trial), environment(workflow)
    elsewhere = tuple(f"{k} {v}" for k, v in was.items() if k != "threads" and v != now.get(k))
    return Replay(trial.number, recorded, rewards_of(workflow, run), elsewhere, run)
