"""Reading a study: its trials as a table, the run of a trial, one walk without Optuna."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import TrialState

from vaeopt.core.types import WorkflowRun
from vaeopt.study.asking.repeats import mean_of, over_trainings, superseded
from vaeopt.study.attributes import FAILURE
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.pareto import front, margin, pick
from vaeopt.study.progress import Progress
from vaeopt.study.results.records import restore, scores_in
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
    "trials_frame",
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


def trials_frame(
    study: optuna.Study | str | Path | StudyFile, *, storage: str | None = None
) -> pd.DataFrame:
    """One row per trial that has ended: state, rewards, parameters, and why it may not win.

    Rewards and scores are floats, NaN where there is none; parameters are as Optuna holds them;
    ``loss`` is the last training loss [nats per patch], ``seconds`` from asking to telling. A study
    without a finished trial gives the same columns and no row.

    Beside the rewards stand recorded and re-scored values by their labels, and ``LABEL sd`` where
    a value is the mean over replicates or subsets. Where parameters were trained in several trials
    that are averaged, ``mean_of`` is the number of trials that the values of a row are means of,
    their deviation is that of one trial, and rows that are part of a later one are ``superseded``.

    Args:
        study: of Optuna, or a study folder, or a ``.toml`` file.
        storage: Optuna storage URL, with a folder or a file.
    """
    if not isinstance(study, optuna.Study):
        study = load_study(study, storage=storage)
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
    if not rows:
        kinds = {"trial": int, "state": str, "feasible": bool, "front": bool}
        kinds |= dict.fromkeys([*names, "loss", "components", "seconds"], float) | {"reason": str}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    frame = pd.DataFrame(rows)
    labels = {label for scores in by_number.values() for label in scores}
    numeric = {*names, *labels, *(f"{n} sd" for n in labels), *rescored}
    numeric |= {"loss", "components", "seconds"}
    # A None makes a column of objects where all are None.
    objects = [n for n in frame if n in numeric and frame[n].dtype == object]
    return frame.astype(dict.fromkeys(objects, float))


def candidates(frame: pd.DataFrame) -> pd.DataFrame:
    """Of a :func:`trials_frame` the rows that may win: healthy, one per configuration."""
    good = frame["feasible"]
    return frame[good & ~frame["superseded"] if "superseded" in frame else good]
