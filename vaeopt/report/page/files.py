"""PNG and CSV of every figure, and files that appear whole or not at all."""

import importlib.util
import uuid
from collections.abc import Sequence
from pathlib import Path

import plotly.io

from vaeopt.core.errors import StudyError
from vaeopt.report.panels import Panel

__all__ = ["check_png", "write_csv", "write_png", "write_whole"]

_WIDTH_PX, _SCALE = 900, 2


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
        StudyError: the browser does not start, or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        plotly.io.write_images(
            fig=[panel.figure for panel in panels],
            file=[folder / f"{panel.name}.png" for panel in panels],
            width=[panel.figure.layout.width or _WIDTH_PX for panel in panels],
            height=[panel.figure.layout.height or 500 for panel in panels],
            scale=_SCALE,
        )
    except (RuntimeError, OSError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise StudyError(
            f"the pictures cannot be drawn: {text}",
            setting="--png",
            remedy="see whether Chrome or Chromium starts here, or leave --png out",
        ) from error
