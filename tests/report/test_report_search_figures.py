"""What figures say of the search: history, hypervolume, importances, components, time."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import Direction, made_by_hand
from vaeopt.core.errors import StudyError
from vaeopt.report import figures
from vaeopt.study.attributes import IDENTITY
from vaeopt.study.fronts.hypervolume import hypervolume_history

MIN: Direction = "minimize"
MAX: Direction = "maximize"


def test_histories_share_the_axis_of_trials_and_mark_collapsed_ones() -> None:
    study = made_by_hand([MIN, MAX], [(1, 7), (5, 6), (3, 9)], margins=[-1, 1, -1])
    infos = [figures.history_info(study, i) for i in range(2)]
    figure = figures.draw_history(*infos)
    collapsed = [trace for trace in figure.data if trace.name == "collapsed"]
    assert [list(trace.customdata) for trace in collapsed] == [[1], [1]]
    # At the lower edge of its panel: the value of a collapsed trial means nothing.
    assert collapsed[0].y[0] == figure.layout.yaxis.range[0]
    best = [list(trace.y) for trace in figure.data if trace.name == "best so far"]
    assert best == [[1, 1, 1], [7, 7, 9]]
    assert figure.layout.xaxis.matches == "x2"
    frame = figures.history_frame(*infos)
    assert list(frame["value_1 best so far"]) == [7, 7, 9]


def test_a_baseline_is_drawn_beside() -> None:
    good = made_by_hand([MIN, MIN], [(1, 2), (2, 1)])
    poor = made_by_hand([MIN, MIN], [(4, 5), (5, 4), (6, 6)])
    info = figures.hypervolume_info(good, poor)
    np.testing.assert_array_equal(info.value, hypervolume_history(good, poor))
    np.testing.assert_array_equal(info.baseline_value, hypervolume_history(poor, good))
    assert info.baseline == poor.study_name
    figure = figures.draw_hypervolume(info)
    assert [list(trace.x) for trace in figure.data] == [[1, 2, 3], [1, 2]]
    assert set(figures.hypervolume_frame(info)["line"]) == {good.study_name, poor.study_name}


def test_a_baseline_of_other_objectives_is_refused() -> None:
    with pytest.raises(StudyError, match="other objectives"):
        figures.hypervolume_info(made_by_hand([MIN], [(1,)]), made_by_hand([MAX], [(1,)]))


def with_sampler(values: Sequence[tuple[float, ...]], **sampler: object) -> optuna.Study:
    study = made_by_hand([MIN] * len(values[0]), values)
    study.set_user_attr(IDENTITY, {"sampler": sampler})
    return study


def test_random_trials_at_the_start_stand_in_for_a_baseline() -> None:
    values = [(float(i), float(9 - i)) for i in range(8)]
    info = figures.hypervolume_info(with_sampler(values, kind="tpe", n_startup_trials=5))
    assert info.baseline == "random draws"
    assert len(info.baseline_value) == 5
    assert (info.low <= info.baseline_value).all()
    assert (info.baseline_value <= info.high).all()
    # All orders of the same five end where the study was after its first five.
    assert info.low[-1] == info.high[-1] == pytest.approx(info.value[4])
    assert "5 random" in info.caption.replace("\n", " ")
    assert "says nothing of a longer random search" in info.caption


def test_the_mean_over_orders_is_that_of_all_orders() -> None:
    """Of two points, one of which is all the volume, the first one is it half of the time."""
    values = [(0.0, 0.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]
    info = figures.hypervolume_info(with_sampler(values, kind="tpe", n_startup_trials=4))
    # 1.1^2 with chance 1/4, else 0.1^2; 100 orders: a standard error of 0.052.
    assert info.baseline_value[0] == pytest.approx(0.25 * 1.21 + 0.75 * 0.01, abs=0.2)
    assert info.baseline_value[-1] == pytest.approx(1.21)


@pytest.mark.parametrize("kind", ["random", "grid", "brute-force"])
def test_a_search_that_does_not_learn_has_no_baseline(kind: str) -> None:
    info = figures.hypervolume_info(with_sampler([(1, 2), (2, 1), (3, 3), (4, 4)], kind=kind))
    assert info.baseline == ""
    assert "without learning" in info.caption


def test_where_the_sampler_is_unknown_the_caption_says_what_the_band_is() -> None:
    study = made_by_hand([MIN, MIN], [(1, 2), (2, 1), (3, 3), (4, 4)])
    info = figures.hypervolume_info(study)
    assert info.baseline == "same trials, random order"
    assert "not a random search" in info.caption


def test_one_objective_has_a_best_value_instead_of_a_volume() -> None:
    study = made_by_hand([MAX], [(1,), (5,), (3,), (9,)], margins=[1, -1, -1, 1])
    info = figures.hypervolume_info(study)
    assert info.quantity == "value_0"
    np.testing.assert_array_equal(info.value, [np.nan, 5, 5, 5])
    known = np.isfinite(info.low)
    assert (info.low[known] <= info.high[known]).all()


def searched(n: int, *, constant: bool = False) -> optuna.Study:
    """The first value follows x alone, the second one y alone."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(directions=[MIN, MAX])
    one = optuna.distributions.FloatDistribution(0, 1)
    space: dict[str, optuna.distributions.BaseDistribution] = {"x": one, "y": one, "z": one}
    for _ in range(n):
        x, y = rng.random(2)
        params = {"x": x, "y": y, "z": 0.5 if constant else rng.random()}
        study.add_trial(
            optuna.trial.create_trial(values=[x, y], params=params, distributions=space)
        )
    return study


def test_the_parameter_that_decides_is_the_important_one() -> None:
    info = figures.importances_info(searched(80))
    share = dict(zip(info.parameters, info.shares.T, strict=True))
    assert share["x"][0] > 0.8
    assert share["y"][1] > 0.8
    np.testing.assert_allclose(info.shares.sum(axis=1), 1)
    assert info.parameters[-1] == "z"
    again = figures.importances_info(searched(80))
    np.testing.assert_array_equal(info.shares, again.shares)
    assert [trace.name for trace in figures.draw_importances(info).data] == info.objectives
    assert len(figures.importances_frame(info)) == 6


def test_a_parameter_with_one_value_has_no_importance() -> None:
    info = figures.importances_info(searched(40, constant=True))
    assert info.shares[:, info.parameters.index("z")].tolist() == [0, 0]


def test_few_trials_have_no_importances() -> None:
    info = figures.importances_info(searched(9))
    assert info.parameters == []
    assert figures.importances_frame(info).empty
    assert "10 feasible" in figures.draw_importances(info).layout.annotations[0].text


def test_components_are_counted_per_window(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    info = figures.number_info(study)
    frame = vo.trials_frame(study)
    good = frame[frame["feasible"]]
    assert info.by_window
    assert info.trial.tolist() == good["trial"].tolist()
    assert info.components.tolist() == good["components"].tolist()
    drawn = figures.draw_number(info)
    seen = sorted(n for trace in drawn.data for n in trace.customdata)
    assert seen == sorted(info.trial.tolist())
    for trace in drawn.data:  # side by side, but nearer to their own window than to the next
        for number, x in zip(trace.customdata, trace.x, strict=True):
            assert abs(x - info.x[info.trial.tolist().index(number)]) < 1


def test_seconds_are_those_of_all_trainings_and_a_rest() -> None:
    start = datetime.datetime(2026, 1, 1)
    study = optuna.create_study()
    first = {"vae": 2.0, "mixture": 1.0}
    primitives = {"seconds": first, "replicates": [{"seconds": {"vae": 3.0}}]}
    study.add_trial(
        optuna.trial.FrozenTrial(
            number=0,
            trial_id=0,
            state=optuna.trial.TrialState.COMPLETE,
            value=1.0,
            values=None,
            datetime_start=start,
            datetime_complete=start + datetime.timedelta(seconds=10),
            params={},
            distributions={},
            user_attrs={"vaeopt:primitives": primitives},
            system_attrs={},
            intermediate_values={},
        )
    )
    info = figures.seconds_info(study)
    assert info.stages == ["vae", "mixture", "rest"]
    np.testing.assert_allclose(info.seconds, [[5.0, 1.0, 4.0]])
    assert figures.seconds_frame(info)["vae_s"].tolist() == [5.0]
    named = {trace.name: list(trace.y) for trace in figures.draw_seconds(info).data}
    assert named == {"vae (50 %)": [5], "mixture (10 %)": [1], "all else (40 %)": [4]}
