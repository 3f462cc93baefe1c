"""A commit that the database refuses undoes a trial that was told: it is told again."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.study.tiny import write_study
from vaeopt.study.optimize import optimize
from vaeopt.study.results.records import ids_of


def _refuse(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """The commit behind a trial that is told fails so many times; returns what happened."""
    seen: list[str] = []
    tell, commit = optuna.Study.tell, Session.commit

    def told(*args: Any, **words: Any) -> Any:
        found = tell(*args, **words)
        if seen.count("refused") < times:
            seen.append("told")
        return found

    def committed(self: Session) -> None:
        if seen and seen[-1] == "told":
            seen.append("refused")
            raise OperationalError("COMMIT", {}, Exception("database is locked"))
        commit(self)

    monkeypatch.setattr(optuna.Study, "tell", told)
    monkeypatch.setattr(Session, "commit", committed)
    return seen


def test_a_trial_whose_commit_is_refused_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, n_trials=3)
    seen = _refuse(monkeypatch, 1)
    study = optimize(folder)
    assert seen == ["told", "refused"]
    assert [trial.state for trial in study.trials] == 3 * [TrialState.COMPLETE]
    named = {i for trial in study.trials for i in ids_of(trial)}
    assert {path.name for path in (folder / "artefacts").iterdir()} == named
