"""Figures that follow the study while the dashboard is served."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import write_study
from vaeopt.core.errors import StudyError
from vaeopt.report.dashboard import refresh
from vaeopt.report.dashboard.cards import panels_of
from vaeopt.report.dashboard.refresh import Refresher
from vaeopt.study.file import open_study
from vaeopt.study.optimize import optimize
from vaeopt.study.storage import StorageError, load_study

LIMIT_S = 120.0


def _until(what: Callable[[], bool]) -> None:
    """Wait for another thread; a test must not hang."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < LIMIT_S, "nothing has happened"
        time.sleep(0.02)


def _drawn(folder: Path, storage: str | None = None) -> str:
    """What the saved figures hold, as one text."""
    study = vo.load_study(folder, storage=storage)
    attrs = study._storage.get_study_system_attrs(study._study_id)
    return "".join(str(v) for k, v in sorted(attrs.items()) if k.startswith("dashboard:plot_data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "study", n_trials=2)
    optimize(folder)
    return folder


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_SHARE", 0)


def test_figures_are_saved_and_follow_new_trials(folder: Path) -> None:
    with Refresher(open_study(folder), None, pytest.fail, every_s=0.05):
        _until(lambda: bool(_drawn(folder)))
        before = _drawn(folder)
        optimize(folder, n_trials=4)  # a worker beside it is not disturbed
        _until(lambda: _drawn(folder) != before)
    assert len(vo.load_study(folder).trials) == 4


def test_nothing_is_drawn_while_nothing_happens(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, drawn = threading.Semaphore(0), []
    panels, look = panels_of, Refresher._look

    def counted(study: optuna.Study, pixel_size_nm: float | None) -> object:
        drawn.append(study)
        return panels(study, pixel_size_nm)

    def looked(self: Refresher) -> None:
        look(self)
        looks.release()

    monkeypatch.setattr(refresh, "panels_of", counted)
    monkeypatch.setattr(Refresher, "_look", looked)
    with Refresher(open_study(folder), None, pytest.fail, every_s=0.01):
        for _ in range(5):
            assert looks.acquire(timeout=LIMIT_S)
    assert len(drawn) == 1


def test_a_storage_that_is_away_is_told_once_and_used_when_it_is_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    fails = 3

    def sometimes(*given: object) -> optuna.Study:
        nonlocal fails
        if fails:
            fails -= 1
            raise StorageError("storage postgresql://me:***@server/db cannot be used now")
        return load_study(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(refresh, "load_study", sometimes)
    with Refresher(open_study(folder), None, lines.append, every_s=0.01):
        _until(lambda: bool(_drawn(folder)))
    assert fails == 0
    (line,) = lines
    assert line.startswith("figures are not saved: ")
    assert "cannot be used now" in line


def test_an_error_of_ours_does_not_end_the_dashboard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    def fail(study: optuna.Study, pixel_size_nm: float | None) -> object:
        raise ZeroDivisionError("of a figure\nwith a second line")

    monkeypatch.setattr(refresh, "panels_of", fail)
    with Refresher(open_study(folder), None, lines.append, every_s=0.01):
        _until(lambda: bool(lines))
    assert lines == ["figures are not saved: ZeroDivisionError: of a figure"]


def test_a_journal_does_not_grow_with_every_trial(tmp_path: Path) -> None:
    url = f"journal:///{tmp_path / 'journal.log'}"
    folder = write_study(tmp_path / "study", n_trials=8)
    optimize(folder, storage=url)
    one = Refresher(open_study(folder), url, pytest.fail)
    one._look()
    before = _drawn(folder, url)
    assert before
    optimize(folder, n_trials=9, storage=url)
    one._look()
    assert _drawn(folder, url) == before, "one trial more is not worth it"
    optimize(folder, n_trials=10, storage=url)
    one._look()
    assert _drawn(folder, url) != before


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    one = Refresher(open_study(write_study(tmp_path)), None, pytest.fail)
    with pytest.raises(StudyError, match="no study 'tiny'"):
        one._look()
