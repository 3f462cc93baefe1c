"""Ctrl-C and a scheduler's SIGTERM: the study stops cleanly and goes on where it was."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from optuna.trial import TrialState

import vaeopt as vo
from tests.study.tiny import ONE, points, write_study
from vaeopt.cli import main
from vaeopt.study.attributes import INTERRUPTED, RETRY_OF
from vaeopt.study.fronts.pareto import finished

N = 3


def long_study(folder: Path) -> Path:
    """Trials so long that a signal meets one of them."""
    write_study(folder, rewards=ONE, n_trials=N)
    text = (folder / "study.toml").read_text().replace("epochs = 2", "epochs = 150")
    (folder / "study.toml").write_text(text)
    return folder


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_running_study_stops_and_goes_on_to_exactly_n(
    which: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = long_study(tmp_path / "s")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("OPTUNA_STORAGE", None)
    with subprocess.Popen(  # noqa: S603  # this Python, on a folder of ours
        [sys.executable, "-m", "vaeopt", "optimize", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        lifeline = threading.Timer(90, process.kill)  # a test must not hang
        lifeline.start()
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"0 of {N} trials are finished\n"
            assert process.stderr.readline().startswith("trial 0 complete; ")
            process.send_signal(which)
            out, err = process.communicate(timeout=60)
        finally:
            lifeline.cancel()
            process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "vaeopt: stopped; run the same command again to go on"
    assert "Traceback" not in err
    assert out == ""
    stopped = vo.load_study(folder).trials
    assert not any(t.state == TrialState.RUNNING for t in stopped)
    assert 1 <= sum(t.state == TrialState.COMPLETE for t in stopped) < N

    assert main(["optimize", str(folder), "--quiet"]) == 0
    study = vo.load_study(folder)
    cut_off = [t for t in study.trials if t.state == TrialState.FAIL]
    assert len(finished(study)) == N
    assert len(cut_off) <= 1
    assert all(t.user_attrs[INTERRUPTED] for t in cut_off)
    assert [t.user_attrs[RETRY_OF] for t in study.trials if RETRY_OF in t.user_attrs] == [
        t.number for t in cut_off
    ]
    capsys.readouterr()
    assert main(["status", str(folder)]) == 0
    assert f"{N} of {N} finished" in capsys.readouterr().out


def test_the_same_process_can_be_told_to_stop_by_its_scheduler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path / "cut", n_trials=3)
    whole = write_study(tmp_path / "whole", n_trials=3)
    assert main(["optimize", str(whole), "--quiet"]) == 0

    def told(self: object, epoch: int, epochs: int, loss_nats: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.report.terminal.Terminal.epoch", told)
        assert main(["optimize", str(folder)]) == 130
    assert capsys.readouterr().err.endswith(
        "vaeopt: stopped; run the same command again to go on\n"
    )
    assert main(["optimize", str(folder), "--quiet"]) == 0
    study = vo.load_study(folder)
    assert len(finished(study)) == 3
    assert points(study.trials) == points(vo.load_study(whole).trials)
