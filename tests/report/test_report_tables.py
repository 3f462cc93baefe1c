"""Tables for people and for machines."""

import json
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import vaeopt as vo
from tests.study.tiny import Direction, made_by_hand, write_study
from vaeopt.cli import main
from vaeopt.report.tables import best_frame, format_frame
from vaeopt.study.fronts.pareto import feasible, front

MIN: Direction = "minimize"
MAX: Direction = "maximize"


@pytest.mark.parametrize(("direction", "expected"), [(MIN, [3, 1, 2]), (MAX, [2, 1, 3])])
def test_one_objective_gives_the_top_few(direction: Direction, expected: list[int]) -> None:
    study = made_by_hand([direction], [(9,), (2,), (3,), (1,)], margins=[1, -1, -1, -1])
    assert best_frame(study)["trial"].tolist() == expected
    assert best_frame(study, most=2)["trial"].tolist() == expected[:2]


def test_equal_values_stand_in_the_order_of_the_trials() -> None:
    study = made_by_hand([MAX], [(1,), (2,), (2,), (1,)])
    assert best_frame(study)["trial"].tolist() == [1, 2, 0, 3]


def test_several_objectives_give_the_whole_front() -> None:
    values = [(i, i) for i in range(20)]
    study = made_by_hand([MIN, MAX], values)
    table = best_frame(study, most=5)
    assert table["trial"].tolist() == [t.number for t in front(study)] == list(range(20))


def test_a_table_of_the_best_has_values_and_parameters_only(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    table = best_frame(study)
    parameters = list(study.trials[0].params)
    assert table.columns.tolist() == [
        "trial",
        "fvu_core",
        "gain",
        *parameters,
        "loss",
        "components",
        "seconds",
        "win_share",
    ]
    assert table["trial"].tolist() == [t.number for t in front(study)]


def test_without_a_good_trial_the_table_is_empty() -> None:
    assert best_frame(made_by_hand([MIN], [])).empty
    assert best_frame(made_by_hand([MIN], [(1,)], margins=[1])).empty
    failed = made_by_hand([MIN, MAX], [])
    failed.tell(failed.ask(), state=optuna.trial.TrialState.FAIL)
    assert best_frame(failed).empty


def test_json_says_what_the_trials_say(
    finished_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["best", str(finished_folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    study = vo.load_study(finished_folder)
    good = {t.number: t for t in feasible(study)}
    assert [row["trial"] for row in rows] == [t.number for t in front(study)]
    for row in rows:
        trial = good[row["trial"]]
        assert [row["fvu_core"], row["gain"]] == pytest.approx(trial.values, rel=1e-12)
        assert {name: row[name] for name in trial.params} == trial.params


def test_tables_are_aligned_and_short() -> None:
    frame = pd.DataFrame(
        {
            "trial": [0, 12],
            "gain": [1.23456789, np.nan],
            "large": [123456789.0, 1e-9],
            "set": ["none", "rotation+translation"],
            "components": [3.0, np.nan],
        }
    )
    assert format_frame(frame).split("\n") == [
        "trial   gain      large  set                   components",
        "    0  1.235  1.235e+08  none                           3",
        "   12             1e-09  rotation+translation",
    ]


def test_a_table_without_rows_is_its_heading() -> None:
    assert format_frame(pd.DataFrame({"trial": [], "gain": []})) == "trial  gain"


def test_a_terminal_is_shown_what_was_optimised_or_asked_for(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path, rewards='[ { kind = "gain" } ]\nscores = [ { kind = "bic" }, { kind = "aic" } ]'
    )
    study = vo.optimize(folder)
    assert {"bic", "aic", "loss"} <= set(best_frame(study).columns)
    assert not {"bic", "aic", "loss"} & set(best_frame(study, recorded=False).columns)
    asked = best_frame(study, recorded=False, order_by="bic")
    assert "bic" in asked
    assert "aic" not in asked
    assert asked["bic"].is_monotonic_increasing
