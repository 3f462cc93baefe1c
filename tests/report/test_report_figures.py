"""What figures show is computed by functions that can be checked by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vaeopt as vo
from tests.study.tiny import Direction, made_by_hand
from vaeopt.core.types import GaussianMixtureFit, Mixture, WorkflowRun
from vaeopt.report import figures
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.study.fronts.pareto import margin
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

MIN: Direction = "minimize"
MAX: Direction = "maximize"


SMALL = Workflow(mixture={"kind": "gmm", "components": [1, 3], "n_init": 2})  # type: ignore[arg-type]


def gaussians(n: int = 40_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A tilted cloud in three dimensions, and the covariance that it was drawn with."""
    mixing = np.asarray([[2.0, 0.0, 0.0], [1.2, 0.5, 0.0], [-0.7, 0.3, 1.0]])
    z = np.random.default_rng(0).standard_normal((n, 3)) @ mixing.T + [5.0, -3.0, 1.0]
    return z, mixing @ mixing.T


def with_mixture(
    run: WorkflowRun,
    z: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    shift: NDArray[np.float64],
    transform: NDArray[np.float64],
) -> WorkflowRun:
    """A run with these latents and this mixture, given in its fit space."""
    n, k = len(z), len(means)
    fit = GaussianMixtureFit(
        n_components=k,
        n_points=n,
        latent_dim=z.shape[1],
        n_free=1,
        log_likelihood_total=0.0,
        entropy_total=0.0,
        map_log_responsibility_total=0.0,
        weights=np.full(k, 1 / k),
        means=means,
        covariances=covariances,
    )
    mixture = Mixture(
        fits=(fit,),
        chosen=0,
        selection_weight=None,
        space="whiten",
        shift=shift,
        transform=transform,
        fit_index=np.arange(n),
        kept=np.ones(n, bool),
        responsibilities=np.full((n, k), 1 / k),
        core=np.zeros(n, bool),
    )
    latents = replace(run.latents, z_mean=z, z_std=np.full_like(z, 0.1))
    return replace(run, latents=latents, mixture=mixture)


def share_inside(outline: NDArray[np.floating], points: NDArray[np.float64]) -> float:
    """Share of points inside a convex outline that is closed."""
    start, end = outline[:-1], outline[1:]
    edge = (end - start)[:, None]
    to_point = points[None] - start[:, None]
    cross = edge[..., 0] * to_point[..., 1] - edge[..., 1] * to_point[..., 0]
    return float(((cross >= 0).all(axis=0) | (cross <= 0).all(axis=0)).mean())


@pytest.fixture(scope="module")
def run() -> WorkflowRun:
    rng = np.random.default_rng(1)
    z = np.concatenate([rng.normal(-3, 0.5, (30, 2)), rng.normal(3, 0.5, (30, 2))])
    return example_run(z, SMALL)


@pytest.mark.parametrize(
    ("direction", "best"),
    [
        (MIN, [np.nan, 4.0, 4.0, 2.0, 2.0]),
        (MAX, [np.nan, 4.0, 5.0, 5.0, 5.0]),
    ],
)
def test_history_keeps_the_best_feasible_value(direction: Direction, best: list[float]) -> None:
    study = made_by_hand(
        [direction], [(1.0,), (4.0,), (5.0,), (2.0,), (3.0,)], margins=[1, 0, -1, -1, -1]
    )
    info = figures.history_info(study, 0)
    assert info.name == "value_0"
    assert info.numbers.tolist() == [0, 1, 2, 3, 4]
    assert info.values.tolist() == [1.0, 4.0, 5.0, 2.0, 3.0]
    assert info.feasible.tolist() == [False, True, True, True, True]
    np.testing.assert_array_equal(info.best, best)


def test_history_of_a_second_objective_and_of_nothing() -> None:
    study = made_by_hand([MIN, MAX], [(1.0, 7.0), (2.0, 6.0)])
    assert figures.history_info(study, 1).best.tolist() == [7.0, 7.0]
    empty = figures.history_info(made_by_hand([MIN], []), 0)
    assert len(empty.values) == len(empty.best) == 0


def test_front_info_tells_good_from_dominated_from_collapsed() -> None:
    study = made_by_hand([MIN, MAX], [(0, 9), (1, 1), (2, 2), (3, 1)], margins=[1, -1, -1, -1])
    info = figures.front_info(study)
    assert info.names == ["value_0", "value_1"]
    assert info.values.tolist() == [[0, 9], [1, 1], [2, 2], [3, 1]]
    assert info.feasible.tolist() == [False, True, True, True]
    assert info.on_front.tolist() == [False, True, True, False]
    figure = figures.draw_front(info)
    drawn = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers"}
    numbers = {t.name: list(t.customdata) for t in figure.data if t.mode == "markers"}
    assert drawn == {"collapsed": [0], "dominated": [3], "Pareto front": [1, 2], "compromise": [2]}
    assert numbers == drawn  # in this study every trial has its number as first value
    colours = {trace.name: trace.marker.color for trace in figure.data}
    assert colours["collapsed"] == INFEASIBLE
    (front,) = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert "trial 2" in front.hovertext[1]


@pytest.mark.parametrize(
    ("directions", "shape", "corner"),
    [
        ((MIN, MIN), "hv", "↙"),
        ((MIN, MAX), "hv", "↖"),
        ((MAX, MIN), "vh", "↘"),
        ((MAX, MAX), "vh", "↗"),
    ],
)
def test_nothing_good_lies_beyond_the_edge_of_the_front(
    directions: tuple[Direction, Direction], shape: str, corner: str
) -> None:
    rng = np.random.default_rng(0)
    study = made_by_hand(directions, rng.random((30, 2)).tolist())
    info = figures.front_info(study)
    figure = figures.draw_front(info)
    (edge,) = [trace for trace in figure.data if trace.mode == "lines"]
    assert edge.line.shape == shape
    signs = np.asarray([1 if d == MIN else -1 for d in directions])
    # Corners between two neighbours are as bad as both: dominated by either of them.
    x, y = np.asarray(edge.x[1:-1]), np.asarray(edge.y[1:-1])
    inner = np.stack([x[1:], y[:-1]] if shape == "hv" else [x[:-1], y[1:]], axis=1) * signs
    members = info.values[info.on_front] * signs
    for corner_point in inner:
        assert (members <= corner_point + 1e-4).all(axis=1).sum() >= 2
    assert any(corner in note.text for note in figure.layout.annotations)


def test_replicates_give_a_front_its_error_bars(finished_folder: Path) -> None:
    info = figures.front_info(vo.load_study(finished_folder))
    assert info.sd.shape == info.values.shape
    assert np.isnan(info.sd).all()  # no parameters were trained twice
    drawn = figures.draw_front(info._replace(sd=np.full_like(info.values, 0.25)))
    (front,) = [trace for trace in drawn.data if trace.name == "Pareto front"]
    assert list(front.error_x.array) == [0.25] * len(front.x)


def test_the_frame_of_a_front_holds_what_is_drawn(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    info = figures.front_info(study)
    frame = figures.front_frame(info)
    assert list(frame["trial"]) == [t.number for t in study.trials]
    assert frame["compromise"].sum() == 1
    assert frame.loc[frame["compromise"], "front"].all()
    assert list(frame["patches.size_px"]) == [t.params["patches.size_px"] for t in study.trials]


def test_front_info_of_a_real_study_names_parameters(finished_folder: Path) -> None:
    study = vo.load_study(finished_folder)
    info = figures.front_info(study)
    for label, trial in zip(info.labels, study.trials, strict=True):
        assert f"patches.size_px = {trial.params['patches.size_px']}" in label
        assert label.count("<br>") == 2
    assert info.feasible.tolist() == [margin(t) <= 0 for t in study.trials]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_front_is_drawn_in_as_many_dimensions_as_can_be_seen(n: int) -> None:
    values = [tuple(float(i == j) for j in range(n)) for i in range(n)]
    figure = figures.draw_front(figures.front_info(made_by_hand([MAX] * n, values)))
    kinds = {trace.type for trace in figure.data}
    assert kinds == ({"scatter3d"} if n == 3 else {"scatter"})
    # Each trial can be found in every kind of drawing.
    seen = {v for trace in figure.data for v in trace.customdata or () if v is not None}
    assert seen == set(range(n))
    pairs = figures.draw_pairs(figures.front_info(made_by_hand([MAX] * n, values)))
    assert len({trace.xaxis for trace in pairs.data}) == n * (n - 1) // 2


def test_a_front_of_nothing_is_drawn_empty() -> None:
    figure = figures.draw_front(figures.front_info(made_by_hand([MIN, MAX], [])))
    assert len(figure.data) == 0
    (note,) = figure.layout.annotations
    assert "no trial has finished" in note.text


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (2, 1)])
def test_ellipses_hold_86_percent_of_a_gaussian(plane: tuple[int, int], run: WorkflowRun) -> None:
    z, covariance = gaussians()
    transform = np.asarray([[0.5, 0.1, 0.0], [0.0, 2.0, 0.0], [0.3, 0.0, 1.0]])
    shift = np.asarray([1.0, 2.0, 3.0])
    means = (transform @ (np.asarray([5.0, -3.0, 1.0]) - shift))[None]
    covariances = (transform @ covariance @ transform.T)[None]
    cloud = with_mixture(run, z, means, covariances, shift, transform)
    info = figures.latents_info(cloud, *plane)
    (outline,) = info.ellipses
    np.testing.assert_allclose(outline[0], outline[-1])
    np.testing.assert_allclose(outline[:-1].mean(axis=0), [[5, -3, 1][i] for i in plane])
    # 1 - exp(-2), within 4 standard errors and what the 64 corners cut off.
    assert share_inside(outline, z[:, plane]) == pytest.approx(0.8647, abs=0.009)
    assert info.axes == tuple(f"z{i + 1}" for i in plane)
    np.testing.assert_array_equal(info.z, z[:, plane])


def test_an_ellipse_of_a_unit_gaussian_is_a_circle_of_radius_two(run: WorkflowRun) -> None:
    z = np.zeros((10, 2))
    unit = with_mixture(run, z, np.zeros((1, 2)), np.eye(2)[None], np.zeros(2), np.eye(2))
    (outline,) = figures.latents_info(unit).ellipses
    np.testing.assert_allclose(np.linalg.norm(outline, axis=1), 2.0)


def test_one_latent_lies_on_a_line() -> None:
    run = example_run(np.random.default_rng(0).normal(size=(40, 1)), SMALL)
    info = figures.latents_info(run)
    assert info.axes == ("z1", "")
    np.testing.assert_array_equal(info.z[:, 1], 0)
    np.testing.assert_array_equal(info.z[:, 0], run.latents.z_mean[:, 0])
    assert info.ellipses == []
    assert figures.draw_latents(info).data


def test_latents_without_a_mixture_have_no_ellipses() -> None:
    run = example_run(np.zeros((40, 2)))
    assert run.mixture.best is None
    info = figures.latents_info(run)
    assert info.ellipses == []
    assert set(info.component.tolist()) == {-1}
    assert figures.draw_latents(info).data
    assert len(figures.components_info(run).share) == 0
    assert "no mixture" in figures.components(run).layout.annotations[0].text
    assert figures.draw_map(figures.map_info(run)).data


def test_two_clusters_get_two_ellipses_and_all_points_are_drawn(run: WorkflowRun) -> None:
    info = figures.latents_info(run)
    assert len(info.ellipses) == 2
    figure = figures.draw_latents(info)
    points = sum(len(t.x) for t in figure.data if t.mode == "markers" and t.name != "core")
    assert points >= len(run.latents)
    names = {t.name for t in figure.data if t.mode == "lines"}
    assert names == {"2 sigma of component 0", "2 sigma of component 1"}


def test_the_map_has_rows_downwards_and_square_pixels(run: WorkflowRun) -> None:
    info = figures.map_info(run)
    np.testing.assert_array_equal(info.yx_px, run.keypoints.yx_px)
    np.testing.assert_array_equal(info.component, run.mixture.component)
    np.testing.assert_array_equal(info.kept, run.mixture.kept)
    assert info.pixel_size_nm == 10.0
    figure = figures.draw_map(info)
    rows, columns = info.pixels.shape
    assert figure.layout.yaxis.range == (rows - 0.5, -0.5)
    assert figure.layout.xaxis.range == (-0.5, columns - 0.5)
    assert figure.layout.yaxis.scaleanchor == "x"
    assert "nm" in figure.layout.xaxis.title.text
    (picture,) = figure.layout.images
    assert (picture.x, picture.y, picture.sizex) == (-0.5, -0.5, columns)
    for trace in figure.data:
        k = int(trace.name.split()[1])
        mask = info.component == k
        np.testing.assert_allclose(trace.x, info.yx_px[mask, 1], rtol=1e-4)
        np.testing.assert_allclose(trace.y, info.yx_px[mask, 0], rtol=1e-4)
        assert trace.marker.color == component_colour(k)


def test_components_are_shown_beside_their_mean_patch(finished_folder: Path) -> None:
    run = vo.load_trial(finished_folder)
    best = run.mixture.best
    assert best is not None
    info = figures.components_info(run)
    size, count = run.vae.window_px, best.n_components
    assert info.decoded.shape == info.core_mean.shape == (count, size, size)
    members = run.mixture.core & (run.mixture.component == 0)
    if members.any():
        mean = run.patches.pixels[members].mean(axis=0)
        np.testing.assert_allclose(info.core_mean[0], mean, rtol=1e-6)
    centre = run.mixture.shift + np.linalg.inv(run.mixture.transform) @ best.means[0]
    np.testing.assert_allclose(info.decoded[0], vo.decode(run.vae, centre[None])[0], rtol=1e-5)
    assert info.share.sum() == pytest.approx(1)
    assert info.members.sum() == len(run.latents)
    frame = figures.components_frame(info)
    assert len(frame) == count * size * size
    assert frame["decoded"].iloc[size + 1] == info.decoded[0, 1, 1]
    drawn = figures.draw_components(info)
    assert len(drawn.layout.images) == 2 * count - int(np.isnan(info.core_mean[:, 0, 0]).sum())


def test_the_loss_is_drawn_against_epochs_from_one(finished_folder: Path) -> None:
    run = vo.load_trial(finished_folder)
    info = figures.training_info(run)
    (line,) = figures.draw_loss(info).data
    assert list(line.x) == [1, 2]
    np.testing.assert_allclose(line.y, run.vae.loss_nats, rtol=1e-4)
    np.testing.assert_array_equal(figures.training_frame(info)["loss_nats"], run.vae.loss_nats)
