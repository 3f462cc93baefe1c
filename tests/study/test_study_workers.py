"""Several workers under one process: shared out, watched, started again, ended together."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.study.tiny import ONE, points, write_study
from vaeopt.core.errors import StudyError
from vaeopt.stages.rewards import Reward
from vaeopt.study.attributes import INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.file import StudySettings, open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import create, optimize, work
from vaeopt.study.processes.process import worker_name
from vaeopt.study.progress import Silent
from vaeopt.study.results.access import load_study

N = 4
DEADLY = '''\
"""A reward whose computation ends the process, as a lack of memory does."""

import os
import signal
from pathlib import Path
from typing import ClassVar, Literal

from vaeopt import Reward, WorkflowRun


class Deadly{kind}(Reward, kind="deadly-{kind}"):
    """Number of key points, if one lives to see it."""

    direction: ClassVar[Literal["minimize", "maximize"]] = "maximize"

    @property
    def label(self) -> str:
        return "points"

    def __call__(self, run: WorkflowRun) -> float:
        for death in range({deaths}):
            try:
                Path(__file__).with_name(f"death-{{death}}").touch(exist_ok=False)
            except FileExistsError:
                continue
            {end}
        return float(len(run.keypoints))

    def structureless(self, run: WorkflowRun) -> float:
        return 0.0
'''
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


class Shown(Silent):
    """Keeps what it is told, and does something when a trial is done."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: list[int] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.done.append(trial.number)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that a test declares are gone after it."""
    monkeypatch.setattr(Reward, "registry", dict(Reward.registry))


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    left = [p for p in psutil.Process().children(recursive=True) if "worker" in p.cmdline()]
    assert left == []


def deadly_study(folder: Path, *, deaths: int, end: str = KILL, n_trials: int = N) -> Path:
    kind = folder.name
    text = DEADLY.format(kind=kind, deaths=deaths, end=end)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deadly.py").write_text(text)
    rewards = f'[ "reconstruction", "deadly-{kind}" ]'
    return write_study(folder, head='plugins = ["deadly.py"]', rewards=rewards, n_trials=n_trials)


def test_a_worker_that_is_killed_is_replaced_and_its_trial_run_again(tmp_path: Path) -> None:
    folder = deadly_study(tmp_path / "killed", deaths=1)
    shown = Shown()
    study = optimize(folder, workers=2, progress=shown)
    (lost,) = [t for t in study.trials if t.state == TrialState.FAIL]
    assert lost.user_attrs[INTERRUPTED] is True
    (again,) = [t for t in study.trials if RETRY_OF in t.user_attrs]
    assert again.user_attrs[RETRY_OF] == lost.number
    assert again.user_attrs[SEED_NUMBER] == lost.user_attrs[SEED_NUMBER]
    assert sorted(t.user_attrs[SEED_NUMBER] for t in finished(study)) == list(range(N))
    # Nobody is started again, and nothing said, where the other one has taken all that was left.
    said = [note[:7] + note[8:] for note in shown.notes]
    assert said in ([], ["worker  was killed by SIGKILL; it is started again"])
    assert sorted(shown.done) == [t.number for t in finished(study)]
    assert not any(t.user_attrs[WORKER] == worker_name() for t in study.trials)


def test_workers_say_that_the_search_space_is_used_up(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, sampler='"grid"', n_trials=90)
    shown = Shown()
    count = len(finished(optimize(folder, workers=2, progress=shown)))
    assert 0 < count < 90
    assert shown.notes == [f"the search space is used up: {count} of 90 trials are finished"]


def test_workers_that_always_die_end_the_study_with_one_line(tmp_path: Path) -> None:
    folder = deadly_study(tmp_path / "poison", deaths=99)
    with pytest.raises(StudyError) as caught:
        optimize(folder, workers=2)
    assert "was killed by SIGKILL; fewer workers leave more memory to each" in str(caught.value)
    study = load_study(folder)
    assert not finished(study)
    # Two places die twice each and one of them a third time: 5 deaths leave 5 trials and their 5
    # successors, and the other place may have asked for one more.
    assert len(study.trials) <= 11


def test_the_line_of_a_worker_that_cannot_go_on_ends_all(tmp_path: Path) -> None:
    folder = deadly_study(tmp_path / "wrong", deaths=99, end='raise ValueError("too dark")')
    with pytest.raises(StudyError, match=r"^5 trials failed in a row; the last with ValueError: "):
        optimize(folder, workers=2, n_trials=20)


def test_ctrl_c_stops_all_workers_and_the_study_goes_on(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "cut", rewards=ONE, n_trials=8)
    whole = optimize(write_study(tmp_path / "whole", rewards=ONE, n_trials=8))

    class Stop(Shown):
        def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
            raise KeyboardInterrupt

    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, workers=2, progress=stop)
    assert stop.notes == ["stopping 2 workers; Ctrl-C again kills them"]
    assert not load_study(folder).get_trials(states=(TrialState.RUNNING,))
    study = optimize(folder)
    assert points(study.trials) == points(whole.trials)


def test_a_second_ctrl_c_kills_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=4)
    killed: list[int] = []
    kill = subprocess.Popen.kill

    class Impatient(Shown):
        def trial_done(self, study: optuna.Study, trial: FrozenTrial) -> None:
            monkeypatch.setattr(subprocess.Popen, "terminate", self.again)
            raise KeyboardInterrupt

        def again(self, *_: object) -> None:
            raise KeyboardInterrupt

    def noted(process: subprocess.Popen[bytes]) -> None:
        killed.append(process.pid)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", noted)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, workers=2, progress=Impatient())
    assert len(killed) >= 1
    assert not any(psutil.pid_exists(pid) for pid in killed), "and none is left as a zombie"
    assert len(finished(optimize(folder))) == 4


def test_no_worker_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=10_000)
    secret = f"sqlite:///{tmp_path}/p4ssword.db"
    command = [sys.executable, "-m", "vaeopt", "optimize", str(folder), "--workers", "2"]
    environment = os.environ | {"OPTUNA_STORAGE": secret}
    with subprocess.Popen(  # noqa: S603  # this Python, on a folder of ours
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "0 of 10000 trials are finished\n"
            assert process.stderr.readline().startswith("trial 0 complete")
            workers = psutil.Process(process.pid).children()
            words = [worker.cmdline() for worker in workers]
            threads = [worker.environ()["OMP_NUM_THREADS"] for worker in workers]
        finally:
            process.send_signal(signal.SIGKILL)
    assert [line[1:4] for line in words] == [["-m", "vaeopt", "worker"]] * 2
    assert not any("p4ssword" in word for line in words for word in line)
    assert threads == [os.environ.get("OMP_NUM_THREADS", threads[0])] * 2
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert (len(gone), alive) == (2, [])


def test_settings_made_in_python_have_no_file_that_workers_could_read(tmp_path: Path) -> None:
    settings = StudySettings(name="x", image={"dataset": "ferroelectric-domains"})  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="write a study file, or leave out workers"):
        optimize(settings, workers=2, folder=tmp_path)
    file = open_study(write_study(tmp_path), overrides=["patches.size_px=7"])
    with pytest.raises(StudyError, match="workers read the study from its file"):
        optimize(file, workers=2)
    assert not (tmp_path / "tiny.db").exists()


def test_a_worker_does_not_wait_for_what_others_run_and_optimize_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    study, made = create(folder)
    assert made
    assert not create(folder)[1]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for _ in range(2):
            trial = study.ask()
            trial.set_user_attr(WORKER, worker_name(other.pid))
            trial.set_user_attr(SEED_NUMBER, trial.number)
        work(folder)
        assert len(study.trials) == 2
        naps = iter(range(1000))

        def nap(seconds: float) -> None:
            if next(naps) == 1:
                other.kill()
                other.wait()

        monkeypatch.setattr("vaeopt.study.optimize.time.sleep", nap)
        shown = Shown()
        study = optimize(folder, progress=shown)
    assert shown.notes == ["waiting for 2 trials that others run"]
    assert next(naps) == 2, "and then its trials were taken over"
    assert [t.user_attrs.get(RETRY_OF) for t in study.trials] == [None, None, 0, 1]
    assert len(finished(study)) == 2


def test_a_study_that_is_not_there_is_not_joined(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    with pytest.raises(StudyError, match="make it with 'vaeopt create'"):
        work(folder)
    assert not (folder / "tiny.db").exists()
