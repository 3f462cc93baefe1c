"""Curves against the window, and the trial that each reward would pick."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import made_by_hand, write_study
from vaeopt.report.figures import curves_info, draw_curves, draw_hypervolume, picks_frame
from vaeopt.study.fronts.hypervolume import hypervolume_history
from vaeopt.study.results.access import trials_frame

SEARCH = """\
"patches.size_px" = { choices = [5, 7] }
"vae.invariances" = { choices = [[], ["rotation"]] }
"latent_filter.minimum" = { choices = [1e-12, 1e6] }
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    """A grid of two windows, two sets of invariances and a filter that fails half of them."""
    folder = write_study(
        tmp_path_factory.mktemp("curves"),
        search=SEARCH,
        sampler='{ kind = "grid" }',
        rewards='[ { kind = "gain" } ]\nscores = [ { kind = "rate" }, { kind = "bic" } ]',
        n_trials=8,
    )
    return vo.optimize(folder)


def test_there_is_a_curve_for_every_value_and_set_of_invariances(study: optuna.Study) -> None:
    curves = curves_info(study).curves
    assert list(curves) == ["loss", "components", "gain", "rate", "bic"]
    for name, lines in curves.items():
        assert [line.group for line in lines] == ["none", "rotation"], name
        for line in lines:
            np.testing.assert_array_equal(line.window_px, [5, 7])


def test_a_point_of_a_curve_is_the_value_of_its_trial(study: optuna.Study) -> None:
    frame = trials_frame(study)
    for name, lines in curves_info(study).curves.items():
        for line in lines:
            for window, mean, trial in zip(line.window_px, line.mean, line.trials, strict=True):
                row = frame[frame["trial"] == int(trial)].iloc[0]
                assert row["feasible"]  # its twin with the impossible filter is left out
                assert (row["patches.size_px"], row["vae.invariances"]) == (window, line.group)
                assert mean == row[name]


def test_several_trials_at_one_window_are_a_mean_with_its_range(study: optuna.Study) -> None:
    frame = trials_frame(study)
    again = optuna.create_study(direction="maximize")
    for trial in study.get_trials():
        again.add_trial(trial)
        again.add_trial(trial)
    (line,) = [c for c in curves_info(again).curves["loss"] if c.group == "none"]
    alone = frame[frame["feasible"] & (frame["vae.invariances"] == "none")]
    np.testing.assert_allclose(line.mean, alone.sort_values("patches.size_px")["loss"])
    assert all("," in numbers for numbers in line.trials)
    np.testing.assert_array_equal(line.low, line.high)


def test_the_drawing_holds_every_curve(study: optuna.Study) -> None:
    info = curves_info(study)
    figure = draw_curves(info)
    drawn = {tuple(trace.y) for trace in figure.data}
    assert drawn == {tuple(line.mean) for lines in info.curves.values() for line in lines}
    assert {trace.name for trace in figure.data if trace.showlegend} == {"none", "rotation"}
    titles = {note.text for note in figure.layout.annotations}
    assert titles == set(info.curves)


def test_without_a_searched_window_there_are_no_curves(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path, search='"vae.kl_scale" = { choices = [0.001, 0.01] }', n_trials=2
    )
    assert curves_info(vo.optimize(folder)).curves == {}


def test_each_reward_picks_its_best_feasible_trial(study: optuna.Study) -> None:
    picks = {row["reward"]: row for row in picks_frame(study).to_dict("records")}
    good = [row for row in trials_frame(study).to_dict("records") if row["feasible"]]
    assert list(picks) == ["gain", "rate", "bic"]
    for label, best in (("gain", max), ("rate", min), ("bic", min)):
        wanted = best(good, key=lambda row: row[label])
        for name in ("trial", "patches.size_px", "vae.invariances", "components"):
            assert picks[label][name] == wanted[name]
        assert picks[label]["value"] == wanted[label]


def test_nothing_is_picked_where_nothing_is_feasible(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path, latent_filter='{ kind = "variance-product", minimum = 1e6 }', n_trials=1
    )
    study = vo.optimize(folder)
    assert picks_frame(study).empty
    assert curves_info(study).curves == {}


def test_the_report_shows_curves_and_picks(study: optuna.Study, tmp_path: Path) -> None:
    folder = write_study(
        tmp_path,
        search='"patches.size_px" = { choices = [5, 7] }',
        rewards='[ { kind = "gain" } ]\nscores = [ { kind = "bic" } ]',
        sampler='{ kind = "grid" }',
        n_trials=2,
    )
    made = vo.optimize(folder)
    from vaeopt.study.session import prepare

    page = vo.write_report(made, prepare(vo.open_study(folder)), tmp_path / "out").read_text()
    assert "Against the window" in page
    assert "What each reward would pick" in page


def test_the_hypervolume_of_a_baseline_is_drawn_beside() -> None:
    good = made_by_hand(["minimize", "minimize"], [(1, 2), (2, 1)])
    poor = made_by_hand(["minimize", "minimize"], [(4, 5), (5, 4), (6, 6)])
    alone, both = draw_hypervolume(good), draw_hypervolume(good, poor)
    assert [list(trace.x) for trace in both.data] == [[1, 2], [1, 2, 3]]
    np.testing.assert_array_equal(both.data[0].y, hypervolume_history(good, poor))
    np.testing.assert_array_equal(both.data[1].y, hypervolume_history(poor, good))
    (trace,) = alone.data
    np.testing.assert_array_equal(trace.y, hypervolume_history(good))
