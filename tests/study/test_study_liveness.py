"""Who lives, who is dead: by process here, by heartbeat elsewhere."""

import threading
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.study.tiny import ONE, Halt, write_study
from vaeopt.study.attributes import BEAT, INTERRUPTED, WORKER
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.processes import liveness
from vaeopt.study.processes.liveness import Pulse, alive
from vaeopt.study.processes.process import worker_alive, worker_name
from vaeopt.study.session import prepare
from vaeopt.study.storage import backend_of, create_or_load, load_study, open_storage
from vaeopt.study.storage.relational import Relational

ELSEWHERE = "another-host~0a1b2c3d~4026531836:17:1700000000"


def _study(folder: Path, kind: str, postgres_url: str) -> optuna.Study:
    files = {"sqlite": f"sqlite:///{folder}/x.db", "journal": f"journal:///{folder}/x.log"}
    url = files.get(kind, postgres_url)
    return create_or_load(prepare(open_study(write_study(folder, rewards=ONE))), url)


def _signed(study: optuna.Study, worker: str) -> optuna.trial.FrozenTrial:
    study.sampler = optuna.samplers.RandomSampler()
    asked = study.ask()
    asked.set_user_attr(WORKER, worker)
    return study.trials[asked.number]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "journal"])
def test_a_process_elsewhere_lives_while_it_beats(
    kind: str, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = _study(tmp_path, kind, postgres_url)
    trial = _signed(study, ELSEWHERE)
    assert alive(trial, study), "not heard of for long enough"
    monkeypatch.setattr(liveness, "worker_name", lambda: ELSEWHERE)
    Pulse(study).beat()
    monkeypatch.undo()
    assert alive(study.trials[0], study)
    monkeypatch.setattr(liveness, "GRACE_S", -1.0)  # of two clocks, seconds may be all there are
    assert not alive(study.trials[0], study)


def test_a_beat_is_seen_by_the_clock_of_the_database(tmp_path: Path, postgres_url: str) -> None:
    study = _study(tmp_path, "postgresql", postgres_url)
    trial = _signed(study, worker_name())
    Pulse(study).beat()
    backend = backend_of(study._storage)
    assert isinstance(backend, Relational)
    with backend.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '400 seconds'"
        )
    assert 400 <= backend.silent_s([trial._trial_id])[trial._trial_id] < 460
    Pulse(study).beat()
    assert backend.silent_s([trial._trial_id])[trial._trial_id] < 60


def test_a_journal_is_watched_for_beats_that_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = _study(tmp_path, "journal", "")
    trial = _signed(study, ELSEWHERE)
    now = [1000.0]
    monkeypatch.setattr("vaeopt.study.processes.liveness.time.monotonic", lambda: now[0])
    for beats in range(3):
        study._storage.set_trial_user_attr(trial._trial_id, BEAT, beats)
        assert alive(study.trials[0], study)
        now[0] += liveness.GRACE_S - 1
        assert alive(study.trials[0], study)
    now[0] += 2
    assert not alive(study.trials[0], study)


def test_neither_a_reboot_nor_a_container_passes_for_this_machine(tmp_path: Path) -> None:
    place, pid, start = worker_name().rsplit(":", 2)
    host, boot, table = place.split("~")
    rebooted = f"{host}~{'0' * len(boot)}~{table}:{pid}:{start}"
    container = f"{host}~{boot}~{int(table) + 1}:{pid}:{start}"
    assert worker_alive(worker_name())
    assert worker_alive(f"{host}:{pid}:{start}"), "as written by earlier versions"
    assert worker_alive(rebooted) is worker_alive(container) is None
    study = _study(tmp_path, "sqlite", "")
    assert not alive(_signed(study, rebooted), study), "only this machine uses the file"
    assert alive(_signed(study, container), study)


def test_the_heartbeat_outlives_a_storage_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    study = _study(tmp_path, "sqlite", "")
    _signed(study, worker_name())
    monkeypatch.setattr(liveness, "BEAT_S", 0.01)
    beaten, failures = threading.Event(), iter(range(3))
    real = Pulse.beat

    def beat(pulse: Pulse) -> None:
        if next(failures, None) is not None:
            raise OSError("away")
        real(pulse)
        beaten.set()

    monkeypatch.setattr(Pulse, "beat", beat)
    with Pulse(study) as pulse:
        assert beaten.wait(60)
    assert not pulse._thread.is_alive()
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["no heartbeat could be written: away"]


def test_a_result_that_nobody_waits_for_is_dropped_and_told(tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=2)

    strikes = iter(range(1))

    def taken_for_dead() -> None:
        if next(strikes, None) is None:
            return
        other = load_study(open_study(folder))
        (running,) = other.get_trials(states=(TrialState.RUNNING,))
        other._storage.set_trial_user_attr(running._trial_id, INTERRUPTED, True)
        other.tell(running.number, state=TrialState.FAIL)

    halt = Halt(0, taken_for_dead)
    study = optimize(folder, progress=halt)
    assert [t.state.name for t in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[0].values is None
    assert halt.notes == [
        "trial 0 was given to another process, which took this one for dead; its result here is "
        "dropped"
    ]


def test_a_study_closes_its_file_so_that_it_can_be_copied_alone(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", rewards=ONE, n_trials=1)
    optimize(folder)
    assert sorted(path.name for path in folder.glob("tiny.db*")) == ["tiny.db", "tiny.db.lock"]
    copied = tmp_path / "copied.db"
    copied.write_bytes((folder / "tiny.db").read_bytes())
    storage = open_storage(f"sqlite:///{copied}")
    study = optuna.load_study(study_name="tiny", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
