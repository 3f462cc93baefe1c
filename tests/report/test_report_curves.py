"""Curves against the window, and the trial that each reward would pick."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import write_study
from vaeopt.report.figures import (
    curves_caption,
    curves_frame,
    curves_info,
    draw_curves,
    numeric_parameters,
    picks_frame,
)
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
    info = curves_info(study)
    assert list(info.curves) == ["gain", "rate", "bic", "components", "loss"]
    assert info.directions == {"gain": "maximize", "rate": "minimize", "bic": "minimize"}
    for name, lines in info.curves.items():
        assert [line.group for line in lines] == ["none", "rotation"], name
        for line in lines:
            np.testing.assert_array_equal(line.x, [5, 7])


def test_a_point_of_a_curve_is_the_value_of_its_trial(study: optuna.Study) -> None:
    frame = trials_frame(study)
    for name, lines in curves_info(study).curves.items():
        for line in lines:
            for window, mean, (trial,) in zip(line.x, line.mean, line.trials, strict=True):
                row = frame[frame["trial"] == trial].iloc[0]
                assert row["feasible"]  # its twin with the impossible filter is left out
                assert (row["patches.size_px"], row["vae.invariances"]) == (window, line.group)
                assert mean == row[name]
            np.testing.assert_array_equal(line.point_y, line.mean)
            assert np.isnan(line.sd).all()  # one seed each: no spread is known


def hand(
    points: list[tuple[int, float]], values: list[float], sds: dict[int, float] | None = None
) -> optuna.Study:
    """A study of window and kl_scale with these values, in memory."""
    study = optuna.create_study(direction="maximize")
    space = {
        "patches.size_px": optuna.distributions.IntDistribution(3, 9),
        "vae.kl_scale": optuna.distributions.FloatDistribution(1e-4, 1, log=True),
    }
    for i, ((window, scale), value) in enumerate(zip(points, values, strict=True)):
        scores = {"value_0": {"value": value, "sd": (sds or {}).get(i, 0.0), "n": 3 if sds else 1}}
        study.add_trial(
            optuna.trial.create_trial(
                value=value,
                params={"patches.size_px": window, "vae.kl_scale": scale},
                distributions=space,
                user_attrs={"vaeopt:scores": scores},
            )
        )
    return study


def test_trials_of_other_parameters_are_points_round_their_mean_and_no_band() -> None:
    info = curves_info(hand([(3, 0.1), (3, 0.2), (5, 0.1)], [1.0, 3.0, 7.0]))
    (line,) = info.curves["value_0"]
    assert line.mean.tolist() == [2.0, 7.0]
    assert np.isnan(line.sd).all()
    assert line.trials == [[0, 1], [2]]
    assert line.point_y.tolist() == [1.0, 3.0, 7.0]
    assert "scatter is not noise" in curves_caption(info)
    drawn = draw_curves(info)
    assert not any(trace.fill for trace in drawn.data)
    (points,) = [trace for trace in drawn.data if trace.mode == "markers"]
    assert list(points.customdata) == [0, 1, 2]


def test_trials_of_equal_parameters_are_a_band_over_seeds() -> None:
    study = hand([(3, 0.1), (3, 0.1), (5, 0.1), (5, 0.1)], [1.0, 3.0, 7.0, 8.0])
    info = curves_info(study)
    (line,) = info.curves["value_0"]
    np.testing.assert_allclose(line.sd, [2**0.5, 0.5**0.5])  # sample deviation of two
    assert "one standard deviation over seeds" in curves_caption(info)
    (band,) = [trace for trace in draw_curves(info).data if trace.fill]
    np.testing.assert_allclose(
        band.y, [2 + 2**0.5, 7.5 + 0.5**0.5, 7.5 - 0.5**0.5, 2 - 2**0.5], rtol=1e-4
    )


def test_replicates_of_one_trial_are_a_band_too() -> None:
    info = curves_info(
        hand([(3, 0.1), (5, 0.1), (7, 0.1)], [1.0, 2.0, 3.0], {0: 0.1, 1: 0.2, 2: 0.3})
    )
    (line,) = info.curves["value_0"]
    assert line.sd.tolist() == [0.1, 0.2, 0.3]


def test_a_gap_splits_a_band_and_a_lonely_point_has_a_bar() -> None:
    study = hand([(3, 0.1), (3, 0.1), (5, 0.1), (7, 0.1), (7, 0.1)], [1.0, 2.0, 5.0, 3.0, 5.0])
    drawn = draw_curves(curves_info(study))
    assert not any(trace.fill for trace in drawn.data)
    (points,) = [trace for trace in drawn.data if trace.mode == "markers"]
    np.testing.assert_allclose(points.error_y.array, [0.5**0.5] * 2 + [0] + [2**0.5] * 2)


def test_other_numbers_may_be_on_the_axis() -> None:
    study = hand([(3, 0.1), (3, 0.2), (5, 0.4)], [1.0, 3.0, 7.0])
    assert numeric_parameters(study) == ["patches.size_px", "vae.kl_scale"]
    info = curves_info(study, "vae.kl_scale")
    assert info.log
    assert info.curves["value_0"][0].x.tolist() == [0.1, 0.2, 0.4]
    assert draw_curves(info).layout.xaxis.type == "log"


def test_the_frame_of_curves_has_a_row_per_trial_and_value(study: optuna.Study) -> None:
    info = curves_info(study)
    frame = curves_frame(info)
    assert len(frame) == sum(len(line.point_y) for lines in info.curves.values() for line in lines)
    some = frame[(frame["value"] == "rate") & (frame["vae.invariances"] == "rotation")]
    np.testing.assert_array_equal(some["y"], info.curves["rate"][1].point_y)


def test_the_drawing_holds_every_curve(study: optuna.Study) -> None:
    info = curves_info(study)
    figure = draw_curves(info, pixel_size_nm=10.0)
    drawn = [np.asarray(trace.y, float) for trace in figure.data if trace.mode == "lines"]
    held = [line.mean for lines in info.curves.values() for line in lines]
    np.testing.assert_allclose(drawn, held, rtol=1e-4)
    assert {trace.name for trace in figure.data if trace.showlegend} == {"none", "rotation"}
    titles = [note.text for note in figure.layout.annotations]
    for name, title in zip(info.curves, titles, strict=True):
        assert name in title
    assert "higher is better" in titles[0]
    assert list(figure.layout.xaxis.ticktext) == ["5<br>50", "7<br>70"]


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
    assert "Rewards against the window" in page
    assert "What each reward would pick" in page
