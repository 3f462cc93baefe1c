"""What optuna-dashboard 0.21 says of a study and should not, put right in this process.

Semi-private: a test pins every one of them. A version in which a place has changed is served as it
is, and a line says so.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from vaeopt.report.dashboard.cards import in_order
from vaeopt.study.asking.repeats import superseded
from vaeopt.study.fronts.pareto import margin

__all__ = ["correct", "without_collapsed"]

# Functions of its module _app that are replaced, and the first arguments that they must take.
_TAKEN = {
    "get_plotly_graph_objects": ("system_attrs",),
    "get_pareto_front_trials": ("trials", "directions"),
    "serialize_study_detail": ("study", "best_trials"),
}


def correct(storage: BaseStorage) -> str | None:
    """Before the application is made.

    - Collapsed trials would be named among the best ones: constraints are not looked at there. So
      would single trainings whose mean with others is another trial.
    - Saved figures would be shown in any order, since they are taken from a set, and so would those
      that are not drawn any more.

    Args:
        storage: that is going to be served.

    Returns:
        What to say if this version of optuna-dashboard cannot be corrected; nothing is changed
        then.
    """
    try:
        app = importlib.import_module("optuna_dashboard._app")
        inner = {name: _known(app, name, taken) for name, taken in _TAKEN.items()}
    except (ImportError, AttributeError, TypeError, ValueError):
        return (
            f"optuna-dashboard {metadata.version('optuna-dashboard')} is not one that vaeopt "
            "corrects: it may name collapsed trials among the best, and show figures in any order"
        )

    def figures(system_attrs: Mapping[str, Any]) -> dict[str, str]:
        return in_order(inner["get_plotly_graph_objects"](system_attrs), system_attrs)

    def front_of(
        trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        return list(inner["get_pareto_front_trials"](without_collapsed(trials), directions))

    def detail(study: Any, best_trials: Sequence[FrozenTrial], *others: Any, **words: Any) -> Any:
        healthy = [trial for trial in best_trials if margin(trial) <= 0]
        return inner["serialize_study_detail"](study, healthy, *others, **words)

    def best_trial(study_id: int) -> FrozenTrial:
        every = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        (direction,) = storage.get_study_directions(study_id)
        pick = max if direction == StudyDirection.MAXIMIZE else min
        # Where all have collapsed one must be named all the same; "detail" takes it out.
        return pick(without_collapsed(every) or every, key=lambda trial: trial.values[0])

    ours: tuple[Callable[..., Any], ...] = (figures, front_of, detail)
    for name, own in zip(_TAKEN, ours, strict=True):
        setattr(app, name, functools.update_wrapper(own, inner[name]))
    vars(storage)["get_best_trial"] = best_trial
    return None


def _known(app: Any, name: str, taken: tuple[str, ...]) -> Callable[..., Any]:
    """The function of optuna-dashboard, whether or not it was replaced before.

    Raises:
        AttributeError: there is none.
        TypeError: it takes something else.
    """
    found: Callable[..., Any] = inspect.unwrap(getattr(app, name))
    if tuple(inspect.signature(found).parameters)[: len(taken)] != taken:
        raise TypeError(name)
    return found


def without_collapsed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials that may be best: healthy ones, one per configuration."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    gone = superseded(done)
    return [trial for trial in done if margin(trial) <= 0 and trial.number not in gone]
