"""Execute ``docs/tutorial.md`` and write ``docs/tutorial.ipynb`` with its outputs.

Run it after every change of the tutorial, from anywhere::

    VAEOPT_DATA_DIR=FOLDER python docs/make_tutorial.py

Figures are kept as static PNG pictures, as Plotly's own form takes megabytes; who runs the notebook
sees figures to hover and zoom. Drawing them needs Chrome or Chromium.
"""

import base64
import io
import os
import tempfile
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

HERE = Path(__file__).parent
SOURCE = HERE / "tutorial.md"
TARGET = HERE / "tutorial.ipynb"


def executed(source: Path, folder: Path, *, timeout_s: int = 3600) -> NotebookNode:
    """The notebook with its outputs.

    Args:
        source: MyST Markdown.
        folder: where its study is written.
        timeout_s: of one cell.
    """
    os.environ |= {"PLOTLY_RENDERER": "png", "PYTHONWARNINGS": "ignore:IProgress"}
    os.environ["OMP_NUM_THREADS"] = "1"  # the text reads these numbers aloud; threads round others
    notebook = jupytext.read(source)
    NotebookClient(
        notebook, timeout=timeout_s, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def lighter(notebook: NotebookNode) -> NotebookNode:
    """The same without times of execution, and with smaller pictures."""
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = _repacked(data["image/png"])
    notebook.metadata.pop("jupytext", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def _repacked(picture: str) -> str:
    """The same picture in fewer bytes."""
    held = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.convert("RGB").save(held, "PNG", optimize=True)
    return base64.b64encode(held.getvalue()).decode()


def main() -> None:
    """Write it."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = lighter(executed(SOURCE, Path(folder)))
    jupytext.write(notebook, TARGET, fmt="ipynb")
    print(f"wrote {TARGET}, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
