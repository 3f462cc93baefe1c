"""Optuna's proxy in front of the storage of a study."""

import socket
import threading
from pathlib import Path

import pytest
from optuna.storages._grpc.server import make_server

from tests.study.tiny import ONE, Halt, write_study
from vaeopt.cli import main
from vaeopt.core.errors import StudyError
from vaeopt.study.file import open_study
from vaeopt.study.optimize import create, optimize, work
from vaeopt.study.processes.proxy import serve
from vaeopt.study.results.access import load_study
from vaeopt.study.storage import open_storage, storage_url


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def test_a_client_reads_and_writes_the_study_behind_the_proxy(tmp_path: Path, port: int) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=1)
    study = optimize(folder)
    up, end, told = threading.Event(), threading.Event(), []

    def ready(address: str, exposed: bool) -> None:
        told.append((address, exposed))
        up.set()

    server = threading.Thread(
        target=serve,
        args=(study._storage,),
        kwargs={"host": "127.0.0.1", "port": port, "ready": ready, "until": end},
    )
    server.start()
    try:
        assert up.wait(60)
        url = f"grpc://127.0.0.1:{port}"
        seen = work(folder, storage=url, n_trials=2)
        assert [trial.params for trial in seen.trials[:1]] == [study.trials[0].params]
        assert create(folder, storage=url)[1] is False
        with pytest.raises(StudyError, match="the storage is a proxy itself"):
            serve(seen._storage, host="127.0.0.1", port=port, ready=ready)
    finally:
        end.set()
        server.join(60)
    assert told == [(f"grpc://127.0.0.1:{port}", False)]
    assert [trial.state.name for trial in load_study(folder).trials] == ["COMPLETE"] * 2


def test_a_study_goes_on_while_its_proxy_is_restarted(tmp_path: Path, port: int) -> None:
    folder = write_study(tmp_path, rewards=ONE, n_trials=3)
    create(folder)
    url = storage_url(open_study(folder))
    servers = []

    def start() -> None:
        servers.append(make_server(open_storage(url), "127.0.0.1", port))
        servers[-1].start()

    def away() -> None:
        servers[0].stop(grace=0).wait()
        threading.Timer(2, start).start()

    start()

    try:
        work(folder, storage=f"grpc://127.0.0.1:{port}", progress=Halt(1, away))
    finally:
        servers[-1].stop(grace=0).wait()
    assert len(servers) == 2
    assert [t.state.name for t in load_study(folder).trials] == ["COMPLETE"] * 3


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])  # noqa: S104
def test_a_proxy_that_others_can_reach_is_warned_of(
    host: str,
    warned: bool,
    tmp_path: Path,
    port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_study(tmp_path)
    create(folder)

    class CtrlC(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vaeopt.study.processes.proxy.threading", type("m", (), {"Event": CtrlC}))
        assert main(["proxy", str(folder), "--host", host, "--port", str(port)]) == 130
    out, err = capsys.readouterr()
    assert out == f"sqlite:///{folder}/tiny.db on grpc://{host}:{port}  (Ctrl-C ends it)\n"
    assert ("no password: whoever reaches this port" in err) == warned


def test_a_taken_port_and_a_missing_library_are_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(tmp_path)
    create(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["proxy", str(folder), "--port", str(taken.getsockname()[1])]) == 2
    line = "vaeopt: cannot listen on 127.0.0.1:"
    assert line in capfd.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["proxy", str(folder)]) == 2
    assert capfd.readouterr().err == (
        'vaeopt: the proxy needs grpcio; pip install "vaeopt[cluster]"\n'
    )
