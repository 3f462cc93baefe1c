"""optuna-dashboard, served and left."""

import socket
import sqlite3
import sys
import webbrowser
from contextlib import closing
from pathlib import Path

import pytest

from tests.report.serving import served
from tests.study.tiny import ONE, SEARCH_COLLAPSE, contents, write_study
from vaeopt.cli import main
from vaeopt.report.dashboard import server
from vaeopt.study.optimize import optimize


def test_the_dashboard_shows_the_study_until_ctrl_c(finished_copy: Path) -> None:
    with served(finished_copy) as dashboard:
        assert dashboard.line.startswith("dashboard on http://127.0.0.1:")
        assert dashboard.address.endswith("/dashboard/studies/1")
        port = int(dashboard.root.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):  # a browser's spare connection
            studies = dashboard.ask("/api/studies")["study_summaries"]
            assert "<style>" in dashboard.text("/dashboard/studies/1")
            note = dashboard.ask("/api/studies/1")["note"]["body"]
    assert [study["study_name"] for study in studies] == ["tiny"]
    assert "## Objectives" in note
    assert dashboard.process.returncode in (0, 130)
    assert "Traceback" not in dashboard.err
    assert len(dashboard.err.splitlines()) <= 1


def test_only_looking_leaves_the_study_as_it_is(finished_copy: Path) -> None:
    before = contents(finished_copy)
    with served(finished_copy, "--no-figures") as dashboard:
        detail = dashboard.ask("/api/studies/1")
    assert detail["note"]["body"] == ""
    assert detail["plotly_graph_objects"] == []
    assert contents(finished_copy) == before


def test_a_study_that_may_only_be_read_is_shown_all_the_same(finished_copy: Path) -> None:
    database = finished_copy / "tiny.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON study_system_attributes BEGIN "
            "SELECT RAISE(FAIL, 'this is not written to'); END"
        )
    with served(finished_copy) as dashboard:
        assert len(dashboard.ask("/api/studies/1")["trials"]) == 6
    assert "vaeopt: the note is not saved: " in dashboard.err
    assert "Traceback" not in dashboard.err


def test_of_several_studies_the_address_is_that_of_the_right_one(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("first", "second"):
        folder = write_study(tmp_path / name, name=name, n_trials=1)
        optimize(folder, storage=storage)
    with served(folder, "--storage", storage, "--no-figures") as dashboard:
        assert dashboard.address.endswith("/dashboard/studies/2")
        assert dashboard.ask("/api/studies/2")["name"] == "second"


@pytest.mark.parametrize("minimum", ["1e-12", "1e9"])
def test_the_best_trial_of_one_objective_is_a_healthy_one(minimum: str, tmp_path: Path) -> None:
    latent_filter = f'{{ kind = "variance-product", minimum = {minimum} }}'
    search = SEARCH_COLLAPSE if minimum == "1e-12" else '"patches.size_px" = { low = 5, high = 7 }'
    folder = write_study(
        tmp_path, rewards=ONE, search=search, latent_filter=latent_filter, n_trials=4
    )
    optimize(folder)
    with served(folder, "--no-figures") as dashboard:
        detail = dashboard.ask("/api/studies/1")
    healthy = [t for t in detail["trials"] if t["constraints"][0] <= 0]
    best = min((t["values"][0] for t in healthy), default=None)
    assert [t["values"][0] for t in detail["best_trials"]] == ([] if best is None else [best])


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
    assert line.endswith("; choose another --port, or --port 0 for any that is free")
    assert contents(finished_copy) == before


@pytest.mark.parametrize("port", ["-1", "65536", "99999", "http"])
def test_an_impossible_port_is_refused_before_anything_is_read(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["dashboard", str(tmp_path / "nothing"), "--port", port])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"expected a port from 1 to 65535, got '{port}'; 0 is any that is free; see" in line


def test_a_study_that_is_not_there_has_no_dashboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path)
    before = contents(folder)
    assert main(["dashboard", str(folder)]) == 2
    assert "no study 'tiny'" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize("screen", [True, False])
def test_a_browser_is_opened_where_there_is_a_screen(
    screen: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def open_(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")
    server._browse("http://127.0.0.1:1/")
    assert opened == (["http://127.0.0.1:1/"] if screen else [])
    assert ("no browser could be opened" in capsys.readouterr().err) is not screen


def test_a_browser_that_fails_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(address: str) -> bool:
        raise webbrowser.Error("no runnable browser")

    monkeypatch.setattr(webbrowser, "open", fail)
    monkeypatch.setenv("DISPLAY", ":0")
    server._browse("http://127.0.0.1:1/")
    assert "open http://127.0.0.1:1/ yourself" in capsys.readouterr().err
