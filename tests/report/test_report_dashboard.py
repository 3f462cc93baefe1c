"""optuna-dashboard, served and left."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.study.tiny import contents, write_study
from vaeopt.cli import main


def test_the_dashboard_shows_the_study_until_ctrl_c(finished_folder: Path) -> None:
    command = [sys.executable, "-m", "vaeopt", "dashboard", str(finished_folder), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("OPTUNA_STORAGE", None)
    with subprocess.Popen(  # noqa: S603  # this Python, on a folder of ours
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        lifeline = threading.Timer(90, process.kill)  # a test must not hang
        lifeline.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("dashboard on http://127.0.0.1:"), line
            address = line.split()[2].removesuffix("dashboard/")
            port = int(address.rstrip("/").rpartition(":")[2])
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with socket.create_connection(("127.0.0.1", port)):  # a browser's spare connection
                with opener.open(f"{address}api/studies", timeout=60) as answer:
                    studies = json.load(answer)["study_summaries"]
                with opener.open(f"{address}dashboard/", timeout=60) as answer:
                    assert answer.status == 200  # and hang up without reading the rest
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=60)
        finally:
            lifeline.cancel()
            process.kill()
    assert [study["study_name"] for study in studies] == ["tiny"]
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 1


def test_a_port_that_is_taken_is_refused_in_one_line(
    finished_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_copy)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dashboard", str(finished_copy), "--port", str(port)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"vaeopt: cannot listen on 127.0.0.1:{port}: ")
    assert line.endswith("; choose another --port")
    assert contents(finished_copy) == before


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_an_impossible_port_is_refused_in_one_line(
    port: str, finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboard", str(finished_folder), "--port", port]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vaeopt: cannot listen on 127.0.0.1:{port}: ")


def test_a_study_that_is_not_there_has_no_dashboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path)
    before = contents(folder)
    assert main(["dashboard", str(folder)]) == 2
    assert "no study 'tiny'" in capsys.readouterr().err
    assert contents(folder) == before
