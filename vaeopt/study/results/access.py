"""Reading a study: its trials as a table, the run of a trial, one walk without Optuna."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from vaeopt.core.types import WorkflowRun
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.asking.repeats import mean_of, over_trainings, superseded
from vaeopt.study.attributes import FAILURE, WORKER
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.pareto import front, margin, pick
from vaeopt.study.guard import accepted_lines
from vaeopt.study.processes.liveness import alive
from vaeopt.study.processes.process import worker_name
from vaeopt.study.progress import Progress
from vaeopt.study.results.records import restore, scores_in, without_files
from vaeopt.study.results.replay import run_once
from vaeopt.study.results.stored import rescored_scores
from vaeopt.study.session import prepare
from vaeopt.study.storage import load_study as _load_study

__all__ = [
    "candidates",
    "load_study",
    "load_trial",
    "metric_names",
    "run",
    "spans",
    "status_lines",
    "trials_frame",
    "worker_lines",
]


def metric_names(study: optuna.Study) -> list[str]:
    """Names of the rewards, in order."""
    return study.metric_names or [f"value_{i}" for i in range(len(study.directions))]


def spans(numbers: Iterable[int]) -> str:
    """Numbers in short, with their noun.

    >>> spans([4]), spans([4, 5, 6, 9])
    ('trial 4', 'trials 4-6, 9')
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    alone = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"trial{'' if alone else 's'} {', '.join(words)}"


def run(
    study: str | Path | StudySettings | StudyFile,
    *,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> WorkflowRun:
    """Walk once through all stages with the settings as written, without Optuna.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        overrides: ``path=value`` assignments, e.g. ``patches.size_px=13``.
        progress: told of every epoch.
    """
    return run_once(prepare(open_study(study, overrides=overrides)), progress=progress)


def load_study(study: str | Path | StudyFile, *, storage: str | None = None) -> optuna.Study:
    """The Optuna study that a study file has made before; nothing is created or trained."""
    return _load_study(open_study(study), storage)


def load_trial(
    study: str | Path | StudyFile, trial: int | str = "best", *, storage: str | None = None
) -> WorkflowRun:
    """The run of a finished trial, rebuilt from its files without training."""
    file = open_study(study)
    found = pick(_load_study(file, storage), str(trial))
    return restore(found, prepare(file))


def trials_frame(study: optuna.Study) -> pd.DataFrame:
    """One row per trial that has ended: state, rewards, parameters, and why it may not win.

    Beside the rewards stand recorded and re-scored values by their labels, and ``LABEL sd`` where
    a value is the mean over replicates or subsets. Where parameters were trained in several trials
    that are averaged, ``mean_of`` is the number of trials that the values of a row are means of,
    their deviation is that of one trial, and rows that are part of a later one are ``superseded``.
    """
    names = metric_names(study)
    on_front = {trial.number for trial in front(study)}
    rescored = rescored_scores(study)
    rows = []
    trials = study.get_trials(deepcopy=False)
    gone = superseded(trials)
    by_number = {trial.number: scores_in(trial) for trial in trials}
    for trial in trials:
        if not trial.state.is_finished():
            continue
        complete = trial.state == TrialState.COMPLETE
        primitives = trial.user_attrs.get("vaeopt:primitives", {})
        reasons = primitives.get("collapse", {}).get("reasons", [])
        failure = trial.user_attrs.get(FAILURE, {})
        numbers = mean_of(trial)
        scores = {
            label: over_trainings(trial, {n: by_number[n].get(label) for n in numbers})
            for label in by_number[trial.number]
        }
        repeats = {"mean_of": len(numbers), "superseded": trial.number in gone} if gone else {}
        recorded = {n: s and s.value for n, s in scores.items() if n not in names}
        recorded |= {n: s.values.get(trial.number) for n, s in rescored.items() if n not in names}
        # Where the reward of that name is computed, its mean counts, not the number of one fit.
        fitted = primitives.get("mixture", {}).get("n_components")
        repeated = {f"{n} sd": s.sd for n, s in scores.items() if s is not None and s.n > 1}
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "feasible": complete and margin(trial) <= 0,
                "front": trial.number in on_front,
                **dict(zip(names, trial.values if complete else [None] * len(names), strict=True)),
                **repeated,
                **recorded,
                **trial.params,
                **repeats,
                "loss": primitives.get("training", {}).get("loss_nats"),
                **({} if "components" in {*names, *recorded} else {"components": fitted}),
                "seconds": trial.duration.total_seconds() if trial.duration else None,
                "reason": "; ".join(reasons) or failure.get("message", ""),
            }
        )
    return pd.DataFrame(rows)


def candidates(frame: pd.DataFrame) -> pd.DataFrame:
    """Of a :func:`trials_frame` the rows that may win: healthy, one per configuration."""
    good = frame["feasible"]
    return frame[good & ~frame["superseded"] if "superseded" in frame else good]


def status_lines(study: optuna.Study, wanted: int, store: Artefacts | None = None) -> list[str]:
    """How far a study is, for the terminal.

    Args:
        study: running or not, here or elsewhere.
        wanted: finished trials that the study file asks for.
        store: looked through for the files of the trials; not looked at if left out.
    """
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    collapsed = sum(margin(t) > 0 for t in complete)
    short = sum(map(_ended_early, complete))
    failed = sum(t.state == TrialState.FAIL for t in trials)
    running = [t for t in trials if t.state == TrialState.RUNNING]
    lines = [
        f"trials    {len(complete)} of {wanted} finished, "
        f"{collapsed} collapsed{f' ({short} ended early)' if short else ''}, "
        f"{failed} failed or interrupted, {len(running)} running",
    ]
    lines += worker_lines(study, running) or ["workers   none"]
    repeats = sum(len(mean_of(t)) > 1 for t in complete)
    if repeats:
        lines.append(f"repeats   {repeats} trained parameters again; their values are means")
    if complete:
        mean = _busy_seconds(complete) / len(complete)
        left = mean * max(0, wanted - len(complete))
        lines.append(f"time      {mean:.1f} s per trial, about {left / 60:.0f} min left")
    lines += [f"accepted  {line}" for line in accepted_lines(study)]
    lost = [] if store is None else without_files(complete, store)
    if lost:
        lines.append(f"files     missing or cut short: {spans(lost)} (see 'vaeopt replay')")
    names = metric_names(study)
    for trial in front(study)[:5]:
        values = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, trial.values, strict=True))
        lines.append(f"best      trial {trial.number}: {values}")
    return lines


def worker_lines(study: optuna.Study, running: Sequence[FrozenTrial]) -> list[str]:
    """Which processes run these trials, since when, and whether they are still there."""
    of: dict[str, list[FrozenTrial]] = {}
    for trial in running:
        of.setdefault(trial.user_attrs.get(WORKER, ""), []).append(trial)
    lines = []
    for name, own in of.items():
        place, pid, _ = name.rsplit(":", 2) if name else ("", "", "")
        where = f"{place.split('~')[0]}:{pid}" if name else "unknown"
        began = min(trial.datetime_start for trial in own if trial.datetime_start)
        here = name == worker_name() or alive(own[0], study)
        lines.append(
            f"worker    {where}, {spans(trial.number for trial in own)} since "
            f"{began:%Y-%m-%d %H:%M:%S}, {'alive' if here else 'gone: they will be run again'}"
        )
    return lines


def _ended_early(trial: FrozenTrial) -> bool:
    """Whether a training of it diverged or was stopped as collapsed."""
    first = trial.user_attrs.get("vaeopt:primitives", {})
    trainings = [run.get("training", {}) for run in (first, *first.get("replicates", []))]
    return any(t.get("diverged") or t.get("stopped_epoch") for t in trainings)


def _busy_seconds(trials: Sequence[FrozenTrial]) -> float:
    """How long at least one of them was running: those of a batch run at the same time."""
    times = [
        (t.datetime_start.timestamp(), t.datetime_complete.timestamp())
        for t in trials
        if t.datetime_start and t.datetime_complete
    ]
    total, until = 0.0, 0.0
    for start, end in sorted(times):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
