"""The tutorial: its notebook is its source executed, and it runs."""

import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from tests.study.tiny import untouched as untouched
from vaeopt.datasets import NAMED_SCANS
from vaeopt.datasets.named import DATA_DIR_VARIABLE

# Libraries without types.
READ_SOURCE: Any = import_module("jupytext").read
READ_NOTEBOOK: Any = import_module("nbformat").read
DOCS = Path(__file__).parents[2] / "docs"
SOURCE, NOTEBOOK = DOCS / "tutorial.md", DOCS / "tutorial.ipynb"
SCAN = NAMED_SCANS["pzt-2um"].filename
# What makes a run of seconds of one of minutes; so short a training collapses by the usual filter.
SHORTER = {
    r"^EPOCHS = \d+": "EPOCHS = 2",
    r"^N_TRIALS = \d+": "N_TRIALS = 3",
    r'\{"kind": "units"\}': '{"kind": "variance-product", "minimum": 1e-12}',
    r"top=3, seeds=3": "top=1, seeds=2",
}


def code(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def held() -> Any:
    return READ_NOTEBOOK(NOTEBOOK, as_version=4)


def test_the_notebook_is_its_source() -> None:
    source, notebook = READ_SOURCE(SOURCE), held()
    assert code(notebook) == code(source)
    assert [(c.cell_type, c.source) for c in notebook.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ], "run docs/make_tutorial.py again"


def test_every_cell_was_executed_in_order_and_none_failed() -> None:
    cells = [cell for cell in held().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    warned = [o.text for c in cells for o in c.outputs if o.get("name") == "stderr"]
    assert warned == []


def test_the_notebook_is_light_and_says_nothing_of_a_machine() -> None:
    assert NOTEBOOK.stat().st_size < 1.5e6
    text = json.dumps([cell.get("outputs", []) for cell in held().cells])
    pictures = re.findall(r'"image/png": "', text)
    assert len(pictures) == 9
    assert "plotly" not in text.lower().replace("image/png", ""), "figures are pictures"
    assert not re.search(r"/(home|root|tmp|work|usr)/", re.sub(r'"image/png": "[^"]*"', "", text))


def _scan_folder() -> Path | None:
    named = os.environ.get(DATA_DIR_VARIABLE)
    places = [Path(named)] if named else []
    return next((place for place in places if any(place.rglob(SCAN))), None)


@pytest.mark.skipif(_scan_folder() is None, reason=f"{DATA_DIR_VARIABLE} names no {SCAN}")
def test_the_source_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n\n".join(code(READ_SOURCE(SOURCE)))
    for pattern, shorter in SHORTER.items():
        text, count = re.subn(pattern, shorter, text, flags=re.M)
        assert count == 1, pattern
    space: dict[str, Any] = {"__name__": "tutorial"}
    exec(compile(text, str(SOURCE), "exec"), space)  # noqa: S102  # our own page
    assert isinstance(space["figure"], go.Figure)
    assert len(space["frame"]) == 3
