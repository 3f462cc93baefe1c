"""A study that is cut off goes on as if nothing had happened."""

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from tests.study.tiny import ONE, Halt, Point, ctrl_c, points, write_study
from vaeopt.study.asking.ask import ask
from vaeopt.study.attributes import FAILURE, INTERRUPTED, RETRY_OF, SEED_NUMBER, WORKER
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.optimize import optimize, work
from vaeopt.study.processes.process import worker_alive, worker_name
from vaeopt.study.resume import requeue_interrupted
from vaeopt.study.session import prepare
from vaeopt.study.storage import load_study

SAMPLERS = {
    "random": '"random"',
    "tpe": '{ kind = "tpe", n_startup_trials = 2 }',
    "nsga2": '{ kind = "nsga2", population_size = 2 }',
    "grid": '"grid"',
    "brute-force": '"brute-force"',
}
THREE = '"vae.invariances" = { choices = [[], ["rotation"], ["translation"]] }'
N = 4


@pytest.fixture(scope="module")
def dead() -> str:
    """A worker of this machine that has gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:  # this Python
        pid = process.pid
    host = worker_name().rsplit(":", 2)[0]
    return f"{host}:{pid}:{time.time():.0f}"


@pytest.fixture(scope="module", params=SAMPLERS)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[Point]]:
    """Pieces of a study, and what comes out of it if nothing happens."""
    pieces: dict[str, Any] = {"sampler": SAMPLERS[request.param], "seed": 2, "n_trials": N}
    study = optimize(write_study(tmp_path_factory.mktemp("whole"), **pieces))
    assert len(study.trials) == N
    return pieces, points(study.trials)


def test_an_interrupted_study_ends_as_one_that_was_not(
    whole: tuple[dict[str, Any], list[Point]], tmp_path: Path
) -> None:
    pieces, expected = whole
    folder = write_study(tmp_path, **pieces)
    for trial in (2, 0):  # the third trial, and its retry
        with pytest.raises(KeyboardInterrupt):
            optimize(folder, progress=Halt(trial, ctrl_c))
    study = optimize(folder)
    cut_off = [t for t in study.trials if t.state == TrialState.FAIL]
    assert len(finished(study)) == N
    assert [t.number for t in cut_off] == [2, 3]
    assert all(t.user_attrs[INTERRUPTED] for t in cut_off)
    assert not any(FAILURE in t.user_attrs for t in cut_off)
    assert [t.user_attrs.get(RETRY_OF) for t in study.trials[2:5]] == [None, 2, 3]
    assert points(study.trials) == expected
    assert [t.user_attrs[SEED_NUMBER] for t in finished(study)] == list(range(N))
    assert len(optimize(folder).trials) == N + 2, "and then nothing is left to do"


@pytest.mark.parametrize("kind", ["grid", "brute-force"])
@pytest.mark.parametrize("trial", [0, 2], ids=["first", "last"])
def test_an_interrupted_walk_over_all_points_misses_none(
    kind: str, trial: int, tmp_path: Path
) -> None:
    pieces = {"sampler": f'"{kind}"', "search": THREE, "n_trials": 20, "rewards": ONE}
    whole = optimize(write_study(tmp_path / "whole", **pieces))
    folder = write_study(tmp_path / "cut", **pieces)
    with pytest.raises(KeyboardInterrupt):
        optimize(folder, progress=Halt(trial, ctrl_c))
    study = optimize(folder)
    assert points(study.trials) == points(whole.trials)
    assert len(study.trials) == 4


@pytest.mark.parametrize("call", [4, 5], ids=["none", "half"])
def test_a_trial_that_is_cut_off_while_its_parameters_are_drawn_draws_them_again(
    whole: tuple[dict[str, Any], list[Point]],
    call: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces, expected = whole
    folder = write_study(tmp_path, **pieces)
    suggest, calls = optuna.trial.Trial._suggest, iter(range(1000))

    def suggest_or_stop(trial: optuna.Trial, name: str, distribution: Any) -> Any:
        if next(calls) == call:  # two parameters a trial
            raise KeyboardInterrupt
        return suggest(trial, name, distribution)

    with monkeypatch.context() as patch:
        patch.setattr("optuna.trial.Trial._suggest", suggest_or_stop)
        with pytest.raises(KeyboardInterrupt):
            optimize(folder)
    study = optimize(folder)
    assert not study.trials[2].params, "all parameters are stored together, or none"
    assert study.trials[2].state == TrialState.FAIL
    assert points(study.trials) == expected


def test_whatever_ends_the_process_ends_the_trial(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE)

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        optimize(folder, progress=Halt(0, leave, epoch=2))
    study = load_study(open_study(folder))
    assert [t.state for t in study.trials] == [TrialState.FAIL]
    assert study.trials[0].user_attrs[INTERRUPTED] is True
    assert not list(folder.glob("artefacts/*")), "a trial leaves its files when it is whole"


def _running(folder: Path, worker: str | None) -> optuna.Study:
    """A study of two finished trials and one that this worker has never ended."""
    study = optimize(folder, n_trials=2)
    session = prepare(open_study(folder))
    if worker is None:  # plain Optuna, which signs nothing
        study.sampler = optuna.samplers.RandomSampler()
        study.ask(fixed_distributions=dict(session.space.distributions))
    else:
        trial = ask(study, session)
        assert trial is not None
        trial.set_user_attr(WORKER, worker)
    assert study.trials[2].state == TrialState.RUNNING
    return study


def test_a_trial_of_a_dead_process_is_run_again_as_it_was(tmp_path: Path, dead: str) -> None:
    sampler = SAMPLERS["tpe"]
    whole = optimize(write_study(tmp_path / "whole", sampler=sampler, n_trials=4))
    folder = write_study(tmp_path / "cut", sampler=sampler, n_trials=4)
    _running(folder, dead)
    study = optimize(folder)
    lost, retry = study.trials[2], study.trials[3]
    assert lost.state == TrialState.FAIL
    assert lost.user_attrs[INTERRUPTED] is True
    assert retry.state == TrialState.COMPLETE
    assert retry.user_attrs[RETRY_OF] == 2
    assert retry.params == lost.params
    assert retry.user_attrs[SEED_NUMBER] == lost.user_attrs[SEED_NUMBER] == 2
    assert retry.user_attrs[WORKER] == worker_name()
    assert len(finished(study)) == 4
    assert points(study.trials) == points(whole.trials)


def test_a_trial_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=3)
    _running(folder, "another-host:1:0")
    study = work(folder)
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 2 + ["RUNNING"], "it counts"
    study = work(folder, n_trials=4)
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 2 + ["RUNNING", "COMPLETE"]
    assert study.trials[3].user_attrs[SEED_NUMBER] == 3


def test_a_trial_that_was_just_asked_for_is_left_alone(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    study = _running(folder, None)
    assert requeue_interrupted(study, []) == 0
    assert study.trials[2].state == TrialState.RUNNING


def test_a_trial_that_nobody_signed_for_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)
    study = _running(folder, None)
    monkeypatch.setattr("vaeopt.study.processes.liveness._SIGNING", -timedelta(seconds=1))
    assert requeue_interrupted(study, []) == 0, "its seeds were never chosen: there is no retry"
    assert study.trials[2].state == TrialState.FAIL
    assert len(study.trials) == 3


def test_a_retry_is_queued_once(tmp_path: Path, dead: str) -> None:
    study = _running(write_study(tmp_path, rewards=ONE), dead)
    names = list(study.trials[2].params)
    assert [requeue_interrupted(study, names) for _ in range(3)] == [1, 0, 0]
    assert [t.state.name for t in study.trials[2:]] == ["FAIL", "WAITING"]


def test_workers_are_told_apart_by_host_number_and_start(dead: str) -> None:
    host, pid, start = worker_name().rsplit(":", 2)
    assert worker_alive(worker_name())
    assert not worker_alive(dead)
    assert not worker_alive(f"{host}:{pid}:{float(start) - 1000:.0f}"), "a number used again"
    assert worker_alive(f"not-{host}:{dead.rsplit(':', 2)[1]}:0") is None, "who knows"
    assert abs(psutil.Process(int(pid)).create_time() - float(start)) < 2
