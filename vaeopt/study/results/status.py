"""How far a study is, whoever works on it and wherever: read only, no lock is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.asking.repeats import mean_of
from vaeopt.study.attributes import FAILURE, INTERRUPTED, WORKER
from vaeopt.study.fronts.pareto import compromise, front, margin
from vaeopt.study.guard import accepted_lines
from vaeopt.study.processes.liveness import alive
from vaeopt.study.processes.process import worker_name
from vaeopt.study.results.access import metric_names, spans
from vaeopt.study.results.pace import LAST, Pace, pace_of
from vaeopt.study.results.records import without_files
from vaeopt.study.results.verdict import verdict_of

__all__ = [
    "Failed",
    "Good",
    "Running",
    "Status",
    "about",
    "lines_of",
    "status_lines",
    "status_of",
    "who",
]

_FAILURES = 3
_FRONT = 5


@dataclass(frozen=True)
class Running:
    """A trial that runs."""

    trial: int
    worker: str
    """host and number of the process, ``unknown`` before it has signed"""
    started: str | None
    """ISO 8601, clock of the machine that runs it"""
    age_s: float
    alive: bool
    """whether its process is still there, as far as can be known; a dead one's is run again"""


@dataclass(frozen=True)
class Failed:
    """A trial that ended with an error."""

    trial: int
    ended: str | None
    type: str
    message: str


@dataclass(frozen=True)
class Good:
    """A trial that is worth naming."""

    trial: int
    values: Mapping[str, float]
    """by name of the objective"""


@dataclass(frozen=True)
class Status:
    """One look at a study."""

    study: str
    time: str
    """of this look, ISO 8601"""
    directions: Mapping[str, str]
    """by name of the objective"""
    wanted: int
    finished: int
    """collapsed ones included"""
    collapsed: int
    ended_early: int
    """trainings that diverged or were stopped as collapsed, of the finished ones"""
    repeats: int
    """finished trials whose values are means over several trainings of their parameters"""
    failed: int
    """ended with an error"""
    interrupted: int
    """were cut off; each is run again"""
    running: Sequence[Running]
    workers: int
    """processes that run trials and are alive"""
    trials_per_hour: float | None
    """of all workers, over the last ``paced_over`` finished trials; pauses left out"""
    seconds_per_trial: float | None
    """of one worker"""
    paced_over: int
    left_s: float | None
    """time left with the workers that are alive; None where nobody works, or nothing is known"""
    best: Good | None
    """the best trial of one objective, the compromise of several"""
    front: Sequence[Good]
    failures: Sequence[Failed]
    """the last ones, newest first"""
    verdict: Mapping[str, Any] | None
    """whether there are building blocks; None where the study has no reward that says so"""
    accepted: Sequence[str]
    """changes of the study that were let through"""
    without_files: Sequence[int] | None
    """finished trials whose files are missing or cut short; None if that was not looked at"""

    @property
    def done(self) -> bool:
        """Whether all wanted trials are finished."""
        return self.finished >= self.wanted

    def to_table(self) -> dict[str, Any]:
        """As plain values, ``done`` beside them."""
        return {**asdict(self), "done": self.done}


def status_of(
    study: optuna.Study,
    wanted: int,
    store: Artefacts | None = None,
    *,
    last: int = LAST,
    now: datetime | None = None,
) -> Status:
    """Look at a study once.

    Args:
        study: running or not, here or elsewhere.
        wanted: finished trials that are asked for.
        store: looked through for the files of the trials; not looked at if left out.
        last: finished trials that tell the pace.
        now: by the clock of this machine, if left out.
    """
    now = now or datetime.now()  # naive and local, as Optuna keeps its times
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    ended = [t for t in trials if t.state == TrialState.FAIL]
    failed = [t for t in ended if not t.user_attrs.get(INTERRUPTED)]
    running = [_running(study, t, now) for t in trials if t.state == TrialState.RUNNING]
    workers = len({each.worker for each in running if each.alive})
    pace, missing = pace_of(trials, last=last), max(0, wanted - len(complete))
    ages = [each.age_s for each in running if each.alive]
    names, chosen, verdict = metric_names(study), compromise(study), verdict_of(study)
    return Status(
        study=study.study_name,
        time=now.isoformat(timespec="seconds"),
        directions={
            n: direction.name.lower() for n, direction in zip(names, study.directions, strict=True)
        },
        wanted=wanted,
        finished=len(complete),
        collapsed=sum(margin(t) > 0 for t in complete),
        ended_early=sum(map(_ended_early, complete)),
        repeats=sum(len(mean_of(t)) > 1 for t in complete),
        failed=len(failed),
        interrupted=len(ended) - len(failed),
        running=running,
        workers=workers,
        trials_per_hour=None if pace is None else pace.per_hour,
        seconds_per_trial=None if pace is None else pace.seconds_per_trial,
        paced_over=0 if pace is None else pace.trials,
        left_s=_left_s(pace, missing, workers, ages),
        best=None if chosen is None else _good(names, chosen),
        front=[_good(names, t) for t in front(study)],
        failures=[_failed(t) for t in failed[: -_FAILURES - 1 : -1]],
        verdict=None if verdict is None else verdict.to_table(),
        accepted=accepted_lines(study),
        without_files=None if store is None else without_files(complete, store),
    )


def _left_s(
    pace: Pace | None, missing: int, workers: int, begun_s: Sequence[float]
) -> float | None:
    if not missing:
        return 0.0
    return None if pace is None else pace.left_s(missing, workers, begun_s)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")


def _good(names: Sequence[str], trial: FrozenTrial) -> Good:
    return Good(trial.number, dict(zip(names, trial.values, strict=True)))


def _running(study: optuna.Study, trial: FrozenTrial, now: datetime) -> Running:
    began = trial.datetime_start
    here = trial.user_attrs.get(WORKER) == worker_name()
    return Running(
        trial=trial.number,
        worker=who(trial),
        started=_iso(began),
        # Clocks of two machines may differ by some seconds.
        age_s=0.0 if began is None else max(0.0, (now - began).total_seconds()),
        alive=here or alive(trial, study),
    )


def who(trial: FrozenTrial) -> str:
    """Host and number of the process that runs or ran a trial."""
    name = trial.user_attrs.get(WORKER)
    if not isinstance(name, str) or name.count(":") < 2:
        return "unknown"
    place, pid, _ = name.rsplit(":", 2)
    return f"{place.split('~')[0]}:{pid}"


def _failed(trial: FrozenTrial) -> Failed:
    reason, ended = trial.user_attrs.get(FAILURE, {}), trial.datetime_complete
    return Failed(
        trial=trial.number,
        ended=_iso(ended),
        type=reason.get("type", "unknown"),
        message=" ".join(reason.get("message", "").split()),
    )


def _ended_early(trial: FrozenTrial) -> bool:
    """Whether a training of it diverged or was stopped as collapsed."""
    first = trial.user_attrs.get("vaeopt:primitives", {})
    trainings = [run.get("training", {}) for run in (first, *first.get("replicates", []))]
    return any(t.get("diverged") or t.get("stopped_epoch") for t in trainings)


def about(seconds: float) -> str:
    """A time for people, no more exact than an estimate is.

    >>> about(8.4), about(200), about(5400), about(200000)
    ('8 s', '3 min', '1.5 h', '2.3 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def status_lines(study: optuna.Study, wanted: int, store: Artefacts | None = None) -> list[str]:
    """How far a study is, for the terminal; the arguments are those of :func:`status_of`."""
    return lines_of(status_of(study, wanted, store))


def lines_of(status: Status) -> list[str]:
    """A look at a study in words."""
    short = f" ({status.ended_early} ended early)" if status.ended_early else ""
    lines = [
        f"trials    {status.finished} of {status.wanted} finished, {status.collapsed} collapsed"
        f"{short}, {status.failed + status.interrupted} failed or interrupted, "
        f"{len(status.running)} running",
    ]
    lines += _worker_lines(status.running) or ["workers   none"]
    if status.repeats:
        lines.append(f"repeats   {status.repeats} trained parameters again; their values are means")
    lines += _time_lines(status)
    lines += [f"accepted  {line}" for line in status.accepted]
    if status.without_files:
        named = spans(status.without_files)
        lines.append(f"files     missing or cut short: {named} (see 'vaeopt replay --restore')")
    for one in status.failures:
        when = "" if one.ended is None else f" at {one.ended.replace('T', ' ')}"
        lines.append(f"failed    trial {one.trial}{when}: {one.type}: {one.message}"[:300])
    for good in status.front[:_FRONT]:
        values = ", ".join(f"{name} {value:.4g}" for name, value in good.values.items())
        lines.append(f"best      trial {good.trial}: {values}")
    if len(status.front) > _FRONT:
        lines.append(f"          and {len(status.front) - _FRONT} more on the front")
    return lines


def _time_lines(status: Status) -> list[str]:
    if status.seconds_per_trial is None or status.trials_per_hour is None:
        return []
    lines = [
        f"rate      {status.trials_per_hour:.3g} trials per hour, {status.seconds_per_trial:.1f} s "
        f"per trial and worker (last {status.paced_over})"
    ]
    missing = max(0, status.wanted - status.finished)
    if not missing:
        return lines
    if status.left_s is None:
        alone = about(missing * status.seconds_per_trial)
        return [*lines, f"time      nobody works on it; one worker would need about {alone}"]
    plural = "s" if status.workers > 1 else ""
    return [
        *lines,
        f"time      about {about(status.left_s)} left with {status.workers} worker{plural}",
    ]


def _worker_lines(running: Sequence[Running]) -> list[str]:
    """Which processes run these trials, since when, and whether they are still there."""
    of: dict[str, list[Running]] = {}
    for one in running:
        of.setdefault(one.worker, []).append(one)
    lines = []
    for name, own in of.items():
        oldest = max(own, key=lambda one: one.age_s)
        since = "" if oldest.started is None else f" since {oldest.started.replace('T', ' ')}"
        lives = "alive" if any(one.alive for one in own) else "gone: they will be run again"
        numbers = spans(one.trial for one in own)
        lines.append(f"worker    {name}, {numbers}{since} ({about(oldest.age_s)}), {lives}")
    return lines
