"""The list of figures that the page and the dashboard show."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial

import vaeopt as vo
from tests.study.tiny import Direction, made_by_hand
from vaeopt.report import figures
from vaeopt.report.panels import Panel, study_panels, winner_panels
from vaeopt.study.fronts.pareto import best
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

DIRECTIONS: list[Direction] = ["minimize", "maximize", "minimize", "maximize", "minimize"]


def numbers_in(panels: list[Panel]) -> set[int]:
    """Every trial that some point stands for."""
    found: set[int] = set()
    for panel in panels:
        for trace in panel.figure.data:
            if trace.customdata is not None:
                flat = np.asarray(trace.customdata, dtype=object).ravel()
                found |= {int(v) for v in flat if v is not None}
    return found


def check(panels: list[Panel]) -> None:
    """What every consumer relies on."""
    assert len({panel.name for panel in panels}) == len(panels)
    for panel in panels:
        assert panel.name.replace("_", "").isalnum(), "a name is part of a file name"
        assert panel.section
        assert panel.title
        assert panel.caption.endswith((".", ")"))
        assert len(panel.frame)
        assert not panel.frame.columns.duplicated().any()
        assert panel.figure.layout.title.text is None
        assert panel.figure.layout.height > 100
        assert panel.figure.to_json()


def test_the_panels_of_a_real_study(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    panels = study_panels(study, pixel_size_nm=5.0)
    check(panels)
    names = [panel.name for panel in panels]
    for name in ("front", "history", "hypervolume", "curves", "agreement", "collapse", "seconds"):
        assert name in names
    assert numbers_in(panels) == {trial.number for trial in study.trials}


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("trials", [0, 1, 12])
@pytest.mark.parametrize("collapsed", ["none", "some", "all"])
def test_panels_of_every_size_of_study(objectives: int, trials: int, collapsed: str) -> None:
    rng = np.random.default_rng(0)
    margins = {"none": -1.0, "some": 0.0, "all": 1.0}[collapsed]
    signs = [(1.0 if i % 3 == 0 else -1.0) if margins == 0 else margins for i in range(trials)]
    study = made_by_hand(DIRECTIONS[:objectives], rng.random((trials, objectives)).tolist(), signs)
    panels = study_panels(study)
    check(panels)
    assert bool(panels) == (trials > 0)
    assert ("front" in {panel.name for panel in panels}) == (objectives > 1 and trials > 0)


def test_running_and_failed_trials_are_left_out() -> None:
    study = made_by_hand(DIRECTIONS[:2], [(1, 2), (3, 4)])
    study.ask()
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    panels = study_panels(study)
    check(panels)
    assert numbers_in(panels) == {0, 1}


def test_values_that_are_all_the_same_have_a_range() -> None:
    panels = study_panels(made_by_hand(DIRECTIONS[:2], [(1, 2)] * 5))
    check(panels)
    axis = next(p for p in panels if p.name == "front").figure.layout.xaxis.range
    assert axis[0] < 1 < axis[1]


def test_labels_of_users_cannot_become_markup() -> None:
    study = optuna.create_study(directions=DIRECTIONS[:2])
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "a.<b>": optuna.distributions.CategoricalDistribution(["<img src=x>", "b"])
    }
    for i in range(3):
        study.add_trial(
            optuna.trial.create_trial(
                values=[i, i], params={"a.<b>": "<img src=x>"}, distributions=space
            )
        )
    figure = figures.front(study)
    hover = [text for trace in figure.data for text in trace.hovertext or ()]
    assert hover
    assert not any("<img" in text for text in hover)
    assert any("&lt;img" in text for text in hover)


def test_the_panels_of_a_winner(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    chosen: FrozenTrial = best(study)
    run = vo.load_trial(finished_folder, chosen.number)
    panels = winner_panels(chosen.number, run)
    check(panels)
    names = [panel.name for panel in panels]
    turned = "angle_rad" in run.latents.codes
    assert ("winner_angles" in names) == turned
    points = panels[0].frame
    assert len(points) == len(run.latents)
    np.testing.assert_array_equal(points["row_px"], run.keypoints.yx_px[:, 0])
    np.testing.assert_array_equal(points["component"], run.mixture.component)


def test_the_pair_of_latents_is_the_one_that_tells_components_apart() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(90, 4))
    z[:, 0] *= 3.0  # wide, but the same in both components
    z[:45, 1] += 8.0
    z[:45, 3] -= 8.0
    run = example_run(z, Workflow(mixture={"kind": "gmm", "components": [1, 2], "n_init": 2}))  # type: ignore[arg-type]
    assert figures.best_pair(run) == (1, 3)
    assert figures.latents_info(run).axes == ("z2", "z4")
    assert figures.latents_info(run, 0, 2).axes == ("z1", "z3")


def test_angles_are_on_one_circle() -> None:
    run = example_run(np.zeros((40, 2)))
    angle = np.linspace(-7, 7, 40)
    turned = figures.angle_info(run)._replace(angle_deg=np.zeros(0))
    assert "not invariant" in figures.draw_angles(turned).layout.annotations[0].text
    run.latents.codes["angle_rad"] = angle  # type: ignore[index]  # a dict in examples
    info = figures.angle_info(run)
    assert (info.angle_deg >= -180).all()
    assert (info.angle_deg < 180).all()
    np.testing.assert_allclose(np.sin(np.radians(info.angle_deg)), np.sin(angle), atol=1e-12)
    (points,) = figures.draw_angles(info).data
    assert (points.marker.cmin, points.marker.cmax) == (-180, 180)


def test_many_points_are_thinned_in_the_drawing_only() -> None:
    run = example_run(np.random.default_rng(0).normal(size=(4100, 2)))
    drawn = sum(len(t.x) for t in figures.latents(run).data if t.mode == "markers")
    assert drawn == figures.MOST_POINTS
    assert len(figures.points_frame(run)) == 4100


def test_figures_are_one_call_in_a_notebook() -> None:
    study = made_by_hand(DIRECTIONS[:2], [(1, 2), (3, 4)])
    assert vo.figures is figures
    for call in (vo.figures.front, vo.figures.history, vo.figures.hypervolume, vo.figures.picks):
        assert call(study).data
