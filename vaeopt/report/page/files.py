"""PNG and CSV of every figure, and files that appear whole or not at all."""

import importlib.util
import json
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

import plotly.graph_objects as go
import psutil

from vaeopt.core.errors import StudyError
from vaeopt.report.panels import Panel

__all__ = ["check_png", "write_csv", "write_pictures", "write_png", "write_whole"]

_WIDTH_PX, _HEIGHT_PX, _SCALE = 900, 500, 2
_DRAWING = [sys.executable, "-m", "vaeopt.report.page.drawing"]
# A browser on a busy machine takes seconds to start and less than one for a figure.
_START_S, _FIGURE_S = 60.0, 10.0


def check_png() -> None:
    """Whether figures can be drawn as PNG here.

    Raises:
        StudyError: kaleido or a browser that it can use is missing.
    """
    if importlib.util.find_spec("kaleido") is None:
        raise StudyError(
            "kaleido is needed for pictures and not installed",
            setting="--png",
            remedy='install it with pip install "vaeopt[png]"',
        )
    from choreographer.browsers.chromium import Chromium

    if Chromium.find_browser(skip_local=False) is None:
        raise StudyError(
            "no Chrome or Chromium is installed, which draws the pictures",
            setting="--png",
            remedy="install one, or run plotly_get_chrome",
        )


def write_whole(path: Path, content: str | bytes) -> None:
    """A file that is there in full, or as it was before."""
    unfinished = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_csv(panels: Sequence[Panel], folder: Path) -> None:
    """The data of every figure as ``NAME.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    for panel in panels:
        write_whole(folder / f"{panel.name}.csv", panel.frame.to_csv(index=False))


def write_png(panels: Sequence[Panel], folder: Path) -> None:
    """Every figure as ``NAME.png``, 1800 pixels wide.

    Raises:
        StudyError: the browser does not start, fails, or does not come to an end.
    """
    write_pictures({folder / f"{panel.name}.png": go.Figure(panel.figure) for panel in panels})


def write_pictures(figures: Mapping[Path, go.Figure]) -> None:
    """Every figure as the file that it is given, in the format that the name ends in.

    A process of its own draws: one whose browser has died waits for ever.

    Raises:
        StudyError: the browser does not start, fails, or does not come to an end.
    """
    jobs = []
    for path, figure in figures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        layout = figure.layout
        layout.update(width=layout.width or _WIDTH_PX, height=layout.height or _HEIGHT_PX)
        jobs.append({"figure": figure.to_json(), "file": str(path), "scale": _SCALE})
    patience_s = _START_S + _FIGURE_S * len(jobs)
    with tempfile.TemporaryDirectory() as place:
        list_of_jobs = Path(place, "jobs.json")
        list_of_jobs.write_text(json.dumps(jobs), "utf-8")
        command = [*_DRAWING, str(list_of_jobs)]
        with Popen(command, stdout=DEVNULL, stderr=PIPE, text=True) as drawn:  # noqa: S603  # ours
            try:
                _, said = drawn.communicate(timeout=patience_s)
            except TimeoutExpired as error:
                raise _undrawn(f"the browser was silent for {patience_s:.0f} s") from error
            finally:
                _end(drawn)  # also after a Ctrl-C
    if drawn.returncode != 0:
        lines = said.strip().splitlines() or [f"exit status {drawn.returncode}"]
        raise _undrawn(lines[-1][:200])


def _end(process: "Popen[str]") -> None:
    """The process and the browser that it has started."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()


def _undrawn(reason: str) -> StudyError:
    return StudyError(
        f"the pictures cannot be drawn: {reason}",
        setting="--png",
        remedy="see whether Chrome or Chromium starts here, or leave --png out",
    )
