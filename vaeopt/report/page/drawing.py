"""A process of its own that has figures drawn by a browser: whoever waits for it can give up."""

import json
import sys
from pathlib import Path

import plotly.io

__all__ = ["main"]


def main(path: str) -> None:
    """Draw what a file lists.

    Args:
        path: of a JSON list of ``figure`` (as plotly writes it), ``file`` and ``scale``.
    """
    jobs = json.loads(Path(path).read_text("utf-8"))
    figures = [plotly.io.from_json(job["figure"]) for job in jobs]
    plotly.io.write_images(
        fig=figures,
        file=[job["file"] for job in jobs],
        width=[figure.layout.width for figure in figures],
        height=[figure.layout.height for figure in figures],
        scale=[job["scale"] for job in jobs],
    )


if __name__ == "__main__":
    main(sys.argv[1])
