"""The page of rendered images: its tables hold the numbers of the presets."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from vaeopt.datasets import RENDERED, difficulties
from vaeopt.datasets.registry import _FAMILIES, _module

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


def _section(name: str) -> str:
    found = re.search(rf"^### `{name}`$(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S)
    assert found, f"no section on {name}"
    return found[1]


def _table(name: str) -> tuple[list[str], dict[str, list[str]]]:
    """Heads of the columns, and the cells of every preset."""
    lines = [line for line in _section(name).splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    presets = {preset: cells for cells in rows for preset in re.findall(r"`([^`]+)`", cells[0])}
    return head, presets


def _told(value: Any) -> str:
    """A value as the page writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _value(preset: Any, field: str) -> Any:
    """A field of a preset, or of the frame in it."""
    return getattr(preset if hasattr(preset, field) else preset.frame, field)


@pytest.mark.parametrize("name", RENDERED)
def test_every_family_has_a_row_and_presets(name: str) -> None:
    assert f"| `{name}` |" in PAGE
    assert {"easy", "medium", "hard"} <= set(_table(name)[1])


@pytest.mark.parametrize(
    "name", [n for n in RENDERED if find_spec(f"vaeopt.datasets.{_FAMILIES[n][0]}")]
)
def test_numbers_are_those_of_the_code(name: str) -> None:
    head, rows = _table(name)
    fields = [(i, title.strip("`")) for i, title in enumerate(head) if title.startswith("`")]
    assert len(fields) >= 2
    assert set(rows) == set(difficulties(name))
    for difficulty, cells in rows.items():
        preset = _module(name).PRESETS[difficulty]
        wanted = [(field, _told(_value(preset, field))) for _, field in fields]
        told = [(field, _told(_number(cells[i]))) for i, field in fields]
        assert told == wanted, difficulty


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
