"""What optuna-dashboard 0.21 says of a study and should not, put right in this process.

Semi-private: a test pins every one of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from vaeopt.report.dashboard.cards import in_order
from vaeopt.study.asking.repeats import superseded
from vaeopt.study.fronts.pareto import margin

__all__ = ["correct", "without_collapsed"]


def correct(storage: BaseStorage) -> None:
    """Before the application is made.

    - Collapsed trials would be named among the best ones: constraints are not looked at there. So
      would single trainings whose mean with others is another trial.
    - Saved figures would be shown in any order, since they are taken from a set, and so would those
      that are not drawn any more.

    Args:
        storage: that is going to be served.
    """
    from optuna_dashboard import _app, _custom_plot_data, _pareto_front, _serializer

    def figures(system_attrs: Mapping[str, Any]) -> dict[str, str]:
        return in_order(_custom_plot_data.get_plotly_graph_objects(system_attrs), system_attrs)

    def front_of(
        trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        found = _pareto_front.get_pareto_front_trials(without_collapsed(trials), directions)
        return list(found)

    def detail(study: Any, best_trials: Sequence[FrozenTrial], *others: Any) -> Any:
        healthy = [trial for trial in best_trials if margin(trial) <= 0]
        return _serializer.serialize_study_detail(study, healthy, *others)

    def best_trial(study_id: int) -> FrozenTrial:
        every = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.COMPLETE,))
        (direction,) = storage.get_study_directions(study_id)
        pick = max if direction == StudyDirection.MAXIMIZE else min
        # Where all have collapsed one must be named all the same; "detail" takes it out.
        return pick(without_collapsed(every) or every, key=lambda trial: trial.values[0])

    _app.get_plotly_graph_objects = figures
    _app.get_pareto_front_trials = front_of
    _app.serialize_study_detail = detail
    vars(storage)["get_best_trial"] = best_trial


def without_collapsed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials that may be best: healthy ones, one per configuration."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    gone = superseded(done)
    return [trial for trial in done if margin(trial) <= 0 and trial.number not in gone]
