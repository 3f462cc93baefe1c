"""The page on figures names every figure, and nothing that does not exist."""

import re
from pathlib import Path

import vaeopt as vo
from vaeopt.report.figures import calls
from vaeopt.report.panels import study_panels, winner_panels
from vaeopt.study.fronts.pareto import best

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/figures.md").read_text(encoding="utf-8")


def named() -> set[str]:
    """Names of files in the brackets behind headings."""
    brackets = re.findall(r"^### .* \[(.+)\]$", PAGE, re.MULTILINE)
    return {name for bracket in brackets for name in bracket.split(", ")}


def test_every_call_stands_on_the_page() -> None:
    told = set(re.findall(r"^`(\w+)\(", PAGE, re.MULTILINE))
    assert told == set(calls.__all__)


def test_every_panel_has_a_heading(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    number = best(study).number
    made = study_panels(study) + winner_panels(number, vo.load_trial(finished_folder, number))
    assert {panel.name for panel in made} - named() == set()


def test_columns_of_tables_stand_on_the_page(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    own = {*(study.metric_names or []), *study.trials[0].params}
    spread = re.compile(r".* (sd|best so far)$|.*_s$|z\d+$|5 %|95 %")
    for panel in study_panels(study):
        for column in panel.frame.columns:
            known = column in own or spread.match(column) or f"`{column}`" in PAGE
            assert known, f"{panel.name}: {column}"
