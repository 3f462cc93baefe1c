"""Studies that are drawn while they run: the verbs that train, with pictures of every trial.

The study floor does not draw. These are its functions with an illustrator, which draws what
``optuna.figures`` asks for.
"""

from collections.abc import Collection
from pathlib import Path

import optuna

from vaeopt.report.illustrator import Pictures
from vaeopt.study import optimize as loop
from vaeopt.study.file import StudyFile, StudySettings
from vaeopt.study.progress import Progress
from vaeopt.study.results import confirm as confirming
from vaeopt.study.results.confirmation import Confirmation

__all__ = ["confirm", "optimize", "work"]


def optimize(
    study: str | Path | StudySettings | StudyFile,
    *,
    n_trials: int | None = None,
    timeout_s: float | None = None,
    trials_at_once: int | None = None,
    workers: int = 1,
    accept: Collection[str] = (),
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> optuna.Study:
    """Create a study or go on with it until it has ``n_trials`` finished trials.

    Trials that other processes run count: they are waited for, and run here if those processes die.
    Pictures of the trials and a note go to the study, as ``optuna.figures`` says.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        n_trials: total of finished trials; that of the study file if left out.
        timeout_s: start no trial after this many seconds.
        trials_at_once: trials that are asked for together and trained together; that of the study
            file if left out.
        workers: processes that share the trials; with more than 1, this one only watches them.
        accept: changes of a study that was started before to go on with: ``sampler``,
            ``duplicates``, ``plugins``.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        folder: where outputs of settings made in Python belong.
        progress: told of every epoch and trial; of trials only where there are several workers.

    Returns:
        A plain Optuna study.

    Raises:
        VaeoptError: for whatever the user can put right; nothing has been written then.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    return loop.optimize(
        study,
        n_trials=n_trials,
        timeout_s=timeout_s,
        trials_at_once=trials_at_once,
        workers=workers,
        accept=accept,
        storage=storage,
        folder=folder,
        progress=progress,
        illustrator=Pictures(),
    )


def work(
    study: str | Path | StudySettings | StudyFile,
    *,
    n_trials: int | None = None,
    timeout_s: float | None = None,
    trials_at_once: int | None = None,
    accept: Collection[str] = (),
    storage: str | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> optuna.Study:
    """Join a study that exists: run trials until none is left to be started.

    Like :func:`optimize`, which also creates the study and waits for trials that others run.

    Raises:
        StudyError: there is no such study yet.
        VaeoptError: for whatever else the user can put right.
        KeyboardInterrupt: Ctrl-C; running trials are marked and will be run again.
    """
    return loop.work(
        study,
        n_trials=n_trials,
        timeout_s=timeout_s,
        trials_at_once=trials_at_once,
        accept=accept,
        storage=storage,
        folder=folder,
        progress=progress,
        illustrator=Pictures(),
    )


def confirm(
    study: str | Path | StudySettings | StudyFile,
    *,
    top: int = 5,
    on_front: bool = False,
    seeds: int = 5,
    storage: str | None = None,
    progress: Progress | None = None,
) -> Confirmation:
    """Train the leaders of a finished search again and compare them on fresh values.

    What was trained before counts and is not trained again, so a call that was interrupted goes
    on, and a call that asks for more adds only what is missing.

    Args:
        study: a study folder, a ``.toml`` file, or settings made in Python.
        top: number of leaders: by value, or by the compromise order of several objectives.
        on_front: take the whole front instead.
        seeds: fresh trainings of each leader.
        storage: Optuna storage URL; a SQLite file beside the study file if left out.
        progress: told of every epoch and training.

    Raises:
        StudyError: nothing feasible yet, the study file was changed since the search, or the name
            of the second study is taken.
        KeyboardInterrupt: Ctrl-C; the running training will be done again.
    """
    return confirming.confirm(
        study,
        top=top,
        on_front=on_front,
        seeds=seeds,
        storage=storage,
        progress=progress,
        illustrator=Pictures(),
    )
