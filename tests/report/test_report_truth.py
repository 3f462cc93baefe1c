"""Table, figure and progress of a truth benchmark."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.truth.test_truth_summary import ARI, COLUMNS, Values, cube
from vaeopt.report.figures.truth import BAR_REGRET, BAR_RHO, draw_truth, truth_frame, truth_info
from vaeopt.report.grid_terminal import grid_terminal
from vaeopt.report.truth_table import markdown, short_lines
from vaeopt.truth import Row, Summary
from vaeopt.truth.summary import summarise


@pytest.fixture(scope="module")
def summary() -> Summary:
    some: dict[str, Values] = {"right": lambda a, i: a, "wrong": lambda a, i: a}
    return summarise(
        [
            cube("cards", ARI, noise=0.05),
            cube("lattice", ARI, columns=some, noise=0.05),
            cube("noise", ARI, n_classes=1, claims=False),
        ],
        name="small",
        missing=3,
        asked={"wrong"},
    )


def test_the_table_has_every_reward_reference_and_scan(summary: Summary) -> None:
    text = markdown(summary)
    for name in (*COLUMNS, "*oracle*", "*random pick*", "*always the same*"):
        assert f"\n| {name} |" in text
    for scene in summary.scenes:
        assert f"\n| {scene.name} |" in text
    assert "48 trainings on 3 rendered scans, 3 of the grid are missing." in text
    for heading in ("Regret", "Negative controls", "Spearman within each vae.invariances", "Scans"):
        assert re.search(rf"^## {re.escape(heading)}", text, flags=re.M)
    for line in text.splitlines():
        assert line.count("|") != 1  # no cell broken into two lines
    blind = next(line for line in text.splitlines() if line.startswith("| blind |"))
    assert blind.endswith("| 0.00 | - |")


def test_the_rows_of_every_table_fit_its_head(summary: Summary) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", markdown(summary), flags=re.M)
    assert len(tables) >= 5
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_best_are_told_on_the_terminal(summary: Summary) -> None:
    head, first, *_ = short_lines(summary)
    assert head.split()[:2] == ["reward", "Spearman"]
    assert first.split()[0] == "right"
    assert short_lines(summarise([], name="x")) == [
        "no training on a scene with several building blocks is finished"
    ]
    assert "0 trainings on 0 rendered scans" in markdown(summarise([], name="x"))


def test_the_figure_holds_the_numbers_of_the_summary(summary: Summary) -> None:
    info = truth_info(summary)
    assert info.rewards == ["right", "blind", "<b>wrong</b>"]
    assert info.families == ["cards", "lattice"]
    assert info.rho[0].tolist() == pytest.approx(
        [summary.rewards[0].rho.mean, summary.rewards[0].rho.low, summary.rewards[0].rho.high]
    )
    assert np.isnan(info.rho_by_family[1, 1])
    figure = draw_truth(info)
    rows = [*info.rewards, "<i>oracle</i>", "<i>always the same</i>", "<i>random pick</i>"]
    names = [trace.name for trace in figure.data]
    assert names == ["cards", "lattice", "mean over families, 95 %"] * 2
    assert all(list(trace.y) == rows for trace in figure.data)
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [
        BAR_RHO,
        BAR_REGRET,
    ]
    for i, family in enumerate(info.families):
        shown = [v for v in figure.data[i].x[:3] if v is not None]
        known = info.rho_by_family[:, i][np.isfinite(info.rho_by_family[:, i])]
        assert shown == pytest.approx(known.tolist(), abs=1e-4), family
    assert len(truth_frame(info)) == 3


def test_what_is_asked_for_is_shown_however_bad_it_is(summary: Summary) -> None:
    info = truth_info(summary, most=1)
    assert info.rewards == ["right", "<b>wrong</b>"]
    assert info.left_out == 1


def test_rewards_that_judge_alike_share_a_line() -> None:
    same: dict[str, Values] = {"right": lambda a, i: a, "blind": lambda a, i: 3 * a + 1}
    info = truth_info(summarise([cube("cards", ARI, columns=same)], name="x"))
    assert info.rewards[0] == "right (+1 alike)"


def test_nothing_finished_makes_a_figure_that_says_so() -> None:
    figure = draw_truth(truth_info(summarise([], name="x")))
    assert "is finished" in figure.layout.annotations[0].text


def _row(margin: float) -> Row:
    return Row(params={}, seed=0, margin=margin, truth={}, scores={}, epochs=1, seconds=1.0)


def test_files_get_lines_and_quiet_gets_none(capsys: pytest.CaptureFixture[str]) -> None:
    with grid_terminal() as shown:
        shown.preparing(1, 2)
        shown.started(1, 3)
        shown.note("something")
        shown.finished("cards-easy-1", _row(-1))
        shown.finished("cards-easy-2", _row(2))
    assert capsys.readouterr().err.splitlines() == [
        "1 of 3 trainings are finished",
        "something",
        "trainings 3/3 100%, cards-easy-2, 1 collapsed",
    ]
    with grid_terminal(quiet=True) as silent:
        silent.started(0, 1)
        silent.note("something")
        silent.finished("cards-easy-1", _row(-1))
    assert capsys.readouterr().err == ""


def test_a_page_needs_no_network(summary: Summary, tmp_path: Path) -> None:
    page = draw_truth(truth_info(summary)).to_html(include_plotlyjs=True, full_html=True)
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page)
