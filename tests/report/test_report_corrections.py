"""Another version of optuna-dashboard is served as it is, with a word, and never half corrected."""

from typing import Any

import optuna
import pytest
from optuna.trial import create_trial
from optuna_dashboard import _app

from vaeopt.report.dashboard.corrections import correct

NAMES = ("get_plotly_graph_objects", "get_pareto_front_trials", "serialize_study_detail")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions that are replaced stand in their places again at the end."""
    for name in NAMES:
        monkeypatch.setattr(_app, name, getattr(_app, name))


def _another(*_: Any) -> None:
    """Takes other arguments."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gone", [True, False])
def test_another_version_is_left_alone(
    name: str, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if gone:
        monkeypatch.delattr(_app, name)
    else:
        monkeypatch.setattr(_app, name, _another)
    before = {other: getattr(_app, other, None) for other in NAMES}
    study = optuna.create_study()
    line = correct(study._storage)
    assert line is not None
    assert line.startswith("optuna-dashboard ")
    assert "may name collapsed trials among the best" in line
    assert {other: getattr(_app, other, None) for other in NAMES} == before
    assert "get_best_trial" not in vars(study._storage)


def test_what_is_corrected_twice_is_as_what_is_corrected_once() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    for value, margin in ((1.0, -1.0), (0.0, 1.0)):
        held = {"constraints": [margin]}
        study.add_trial(create_trial(values=[value, value], system_attrs=held))
    assert correct(study._storage) is None
    assert correct(study._storage) is None
    found = _app.get_pareto_front_trials(trials=study.trials, directions=study.directions)
    assert [trial.number for trial in found] == [0]
