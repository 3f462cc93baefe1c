"""The house itself: floors, names, sizes, and studies that are fit to be run."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from vaeopt.datasets import RENDERED
from vaeopt.study.check import check
from vaeopt.study.file import open_study

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "vaeopt").rglob("*.py"))
PYTHON = sorted([*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
STUDIES = sorted(
    [*(ROOT / "studies").glob("*/study.toml"), *(ROOT / "benchmarks").glob("study/*/study.toml")]
)
LONGEST = 400


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_only_go_down(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", MODULES, ids=_shown)
def test_a_module_says_what_it_is_and_what_it_offers(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "no docstring"
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    listed = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    if not defined:
        return
    assert len(listed) == 1, "public names and no __all__"


def test_every_public_name_can_be_imported() -> None:
    package = importlib.import_module("vaeopt")
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("path", PYTHON, ids=_shown)
def test_files_are_short_and_leave_nothing_to_be_done(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3))  # or this line would be found
    assert [line for line in lines if re.search(rf"\b({words})\b", line)] == []


@pytest.mark.parametrize("path", STUDIES, ids=_shown)
def test_every_study_passes_the_check(
    path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if open_study(path).settings.image.dataset not in RENDERED:
        folder: Path = request.getfixturevalue("real_data")
        monkeypatch.setenv("VAEOPT_DATA_DIR", str(folder))
    before = sorted(path.parent.iterdir())
    *lines, last = check(open_study(path))
    assert last == f"study {path.parent.name!r} is fine"
    assert any(line.startswith("key points  ") for line in lines)
    assert sorted(path.parent.iterdir()) == before


def test_there_are_studies_to_look_at() -> None:
    assert {"pzt-domains", "quick-start"} <= {path.parent.name for path in STUDIES}
