"""What is shown while a study runs."""

import sys
from pathlib import Path

import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import N_TRIALS, ONE, made_by_hand, write_study
from vaeopt.report.terminal import terminal
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import best
from vaeopt.study.optimize import optimize
from vaeopt.study.session import prepare


def test_a_file_gets_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path, rewards=ONE)
    with terminal() as progress:
        study = optimize(folder, n_trials=2, progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    first, *trials = err.splitlines()
    assert first == "0 of 2 trials are finished"
    assert [line.split(";")[0] for line in trials] == ["trial 0 complete", "trial 1 complete"]
    value = f"best #{best(study).number}: fvu_core {best(study).values[0]:.4g}; 0 collapsed"
    assert trials[0].endswith(" left")
    assert trials[-1].endswith(value)


def test_trials_of_earlier_sessions_count(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = vo.load_study(finished_folder)
    with terminal() as progress:
        progress.started(study, prepare(open_study(finished_folder)), 10)
    assert capsys.readouterr().err == f"{N_TRIALS} of 10 trials are finished\n"


def test_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(quiet=True) as progress:
        optimize(write_study(tmp_path, rewards=ONE), n_trials=1, progress=progress)
    assert capsys.readouterr() == ("", "")


def test_people_get_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with terminal() as progress:
        optimize(write_study(tmp_path, rewards=ONE), n_trials=2, progress=progress)
    err = capsys.readouterr().err
    assert "2/2" in err
    assert "trial 0 complete" not in err
    assert err.endswith("\n")


@pytest.mark.parametrize("interactive", [True, False])
def test_collapsed_and_failed_trials_are_told(
    interactive: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: interactive, raising=False)
    study = made_by_hand(["minimize"], [(1.0,)], margins=[2.0])
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    with terminal() as progress:
        progress.started(study, None, 5)  # type: ignore[arg-type]  # it does not look at it
        for trial in study.trials:
            progress.trial_done(study, trial)
    err = capsys.readouterr().err
    assert "1 collapsed" in err
    assert ("trial 1 fail; 1 collapsed; 1 failed" in err) == (not interactive)


def test_the_bar_is_closed_whatever_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    study = made_by_hand(["minimize"], [])

    def cut_off() -> None:
        with terminal() as progress:
            progress.started(study, None, 5)  # type: ignore[arg-type]  # it does not look at it
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert capsys.readouterr().err.endswith("\n"), "the next line starts at the left"
