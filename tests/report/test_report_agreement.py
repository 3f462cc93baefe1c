"""Whether rewards agree, and which trials collapsed."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import Direction, made_by_hand
from vaeopt.report import figures
from vaeopt.study.fronts.pareto import finished, margin

MIN: Direction = "minimize"
MAX: Direction = "maximize"


def test_agreement_is_turned_so_that_better_means_higher() -> None:
    # The first is best where the second is: one is minimised, the other maximised.
    study = made_by_hand([MIN, MAX, MAX], [(1, 9, 2), (2, 7, 4), (3, 5, 6), (4, 1, 9)])
    info = figures.agreement_info(study)
    np.testing.assert_allclose(info.rho, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    frame = figures.agreement_frame(info)
    assert frame["spearman"].round(6).tolist() == [1, -1, -1]


def test_a_rank_correlation_worked_by_hand() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: rho = 1 - 6 * 4 / (4 * 15) = 0.6.
    study = made_by_hand([MAX, MAX], [(1, 20), (2, 10), (3, 40), (4, 30)])
    assert figures.agreement_info(study).rho[0, 1] == pytest.approx(0.6)


def test_agreement_of_a_constant_is_unknown_and_drawn_empty() -> None:
    study = made_by_hand([MAX, MAX], [(1, 5), (2, 5), (3, 5), (4, 5)])
    info = figures.agreement_info(study)
    assert np.isnan(info.rho[0, 1])
    assert figures.draw_agreement(info).data[0].text[0][1] == ""


def test_collapsed_trials_have_no_say() -> None:
    values = [(1, 9), (2, 7), (3, 5), (4, 1), (100, 100)]
    info = figures.agreement_info(made_by_hand([MIN, MAX], values, margins=[-1, -1, -1, -1, 1]))
    assert info.n == 4
    assert info.rho[0, 1] == pytest.approx(1)


def test_a_pick_has_its_place_in_every_other_score() -> None:
    study = made_by_hand([MIN, MAX], [(1, 1), (2, 3), (3, 2), (4, 4)])
    info = figures.picks_info(study)
    assert info.trials.tolist() == [0, 3]
    # Trial 0 is the best of the first and the worst of the second: one of four is no better.
    np.testing.assert_allclose(info.place, [[1.0, 0.25], [0.25, 1.0]])
    drawn = figures.draw_picks(info)
    assert [row[0] for row in drawn.data[0].customdata] == [0, 3]


def test_picks_of_nothing() -> None:
    info = figures.picks_info(made_by_hand([MIN, MAX], [(1, 2)], margins=[1]))
    assert info.names == []
    assert "picks need" in figures.draw_picks(info).layout.annotations[0].text


def test_collapse_is_counted_by_place_and_by_test(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    info = figures.collapse_info(study)
    lost = [t for t in finished(study) if margin(t) > 0]
    assert info.finished.sum() == len(finished(study))
    assert info.collapsed.sum() == len(lost) == len(info.rows)
    assert info.reasons == {"product of the variances (collapsed)": len(lost)}
    for trial in lost:
        row = info.groups.index(str(trial.params["vae.invariances"]))
        column = info.windows_px.index(trial.params["patches.size_px"])
        assert info.collapsed[row, column] > 0
    frame = figures.collapse_frame(info)
    assert frame["trial"].tolist() == [t.number for t in lost]
    assert len(figures.draw_collapse(info).data) == 2


def test_collapse_of_a_study_without_records_and_of_a_healthy_one() -> None:
    info = figures.collapse_info(made_by_hand([MIN], [(1,), (2,)], margins=[1, -1]))
    assert info.reasons == {"no reason recorded": 1}
    assert len(figures.draw_collapse(info).data) == 2
    healthy = figures.collapse_info(made_by_hand([MIN], [(1,), (2,)]))
    assert figures.collapse_frame(healthy).empty
    assert "none of 2" in figures.draw_collapse(healthy).layout.annotations[0].text


def test_a_study_may_be_empty() -> None:
    study: optuna.Study = made_by_hand([MIN, MAX], [])
    assert figures.agreement_info(study).names == []
    assert figures.collapse_info(study).rows == []
    assert len(figures.seconds_info(study).trial) == 0
