"""PNG and CSV of figures."""

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import psutil
import pytest
from choreographer.browsers.chromium import Chromium

import vaeopt as vo
from tests.study.tiny import contents
from vaeopt.cli import main
from vaeopt.core.errors import StudyError
from vaeopt.report.page import check_png, files, write_report
from vaeopt.report.page.files import write_png, write_whole
from vaeopt.report.panels import Panel
from vaeopt.study.session import prepare


def test_csv_of_every_figure_stands_beside_the_page(finished_folder: Path, tmp_path: Path) -> None:
    study = vo.load_study(finished_folder)
    page = write_report(study, prepare(vo.open_study(finished_folder)), tmp_path, csv=True)
    text = page.read_text("utf-8")
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"grid", "front", "winner_latents"} <= names
    assert sorted(names) == sorted(path.stem for path in (tmp_path / "figures").glob("*.csv"))
    for name in names - {"grid"}:
        assert f"id='figure-{name}'" in text
        assert len(pd.read_csv(tmp_path / "figures" / f"{name}.csv")) > 0
    assert set(pd.read_csv(tmp_path / "figures" / "grid.csv")["window_px"]) == {5, 7}


def test_png_of_every_figure(
    finished_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touches = "import json, pathlib, sys; [pathlib.Path(job['file']).write_text('drawn') "
    touches += "for job in json.loads(pathlib.Path(sys.argv[1]).read_text())]"
    monkeypatch.setattr(files, "_DRAWING", [sys.executable, "-c", touches])
    monkeypatch.setattr("vaeopt.report.page.page.check_png", lambda: None)
    study = vo.load_study(finished_folder)
    write_report(study, prepare(vo.open_study(finished_folder)), tmp_path, png=True)
    assert (tmp_path / "figures" / "front.png").read_text() == "drawn"
    assert (tmp_path / "figures" / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_a_png_is_drawn_by_a_browser(tmp_path: Path) -> None:
    try:
        check_png()
    except StudyError as error:
        pytest.skip(str(error))
    write_png([dots()], tmp_path / "new")
    assert (tmp_path / "new" / "dots.png").read_bytes().startswith(b"\x89PNG")


def test_without_kaleido_or_a_browser_nothing_is_begun(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_copy)
    monkeypatch.setattr(Chromium, "find_browser", lambda **words: None)
    assert main(["report", str(finished_copy), "--png"]) == 2
    assert capsys.readouterr().err == (
        "vaeopt: --png: no Chrome or Chromium is installed, which draws the pictures; install one, "
        "or run plotly_get_chrome\n"
    )
    monkeypatch.setitem(sys.modules, "kaleido", None)
    assert main(["report", str(finished_copy), "--png"]) == 2
    assert capsys.readouterr().err == (
        "vaeopt: --png: kaleido is needed for pictures and not installed; install it with pip "
        'install "vaeopt[png]"\n'
    )
    assert contents(finished_copy) == before


def dots() -> Panel:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), {"height": 200})
    return Panel("dots", "", "", "", figure, pd.DataFrame())


def test_a_browser_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = "raise RuntimeError('it did not start')"
    monkeypatch.setattr(files, "_DRAWING", [sys.executable, "-c", fails])
    with pytest.raises(StudyError, match="drawn: RuntimeError: it did not start; see whether Chr"):
        write_png([dots()], tmp_path)


def test_a_browser_that_is_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = f"{[sys.executable, '-c', 'import time; time.sleep(600)']}"
    waits = f"import subprocess; subprocess.Popen({browser}).wait()"
    monkeypatch.setattr(files, "_DRAWING", [sys.executable, "-c", waits])
    monkeypatch.setattr(files, "_START_S", 1.0)
    monkeypatch.setattr(files, "_FIGURE_S", 1.0)
    with pytest.raises(StudyError, match="the browser was silent for 2 s"):
        write_png([dots()], tmp_path)
    left = [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(600)" in str(p.info)]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    write_whole(path, "first")

    def full(self: Path, content: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_page_is_opened_if_asked_for(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def nowhere(url: str) -> bool:
        opened.append(url)
        return False

    monkeypatch.setattr("webbrowser.open", nowhere)
    assert main(["report", str(finished_copy), "--open"]) == 0
    assert opened == [(finished_copy / "report" / "report.html").resolve().as_uri()]
    assert "no browser was found; open the page yourself" in capsys.readouterr().err
