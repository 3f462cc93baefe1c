"""What components look like: decoded, in the mean, and as one patch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vaeopt as vo
from vaeopt.core.types import WorkflowRun
from vaeopt.report import figures
from vaeopt.report.palette import component_colour, component_symbol
from vaeopt.stages.vae import align
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow


@pytest.fixture(scope="module")
def run(finished_folder: Path) -> WorkflowRun:
    """A trial whose component 0 has core points: all that belong to it."""
    made = vo.load_trial(finished_folder)
    return replace(made, mixture=replace(made.mixture, core=made.mixture.component == 0))


def test_components_are_shown_beside_the_mean_of_their_core(run: WorkflowRun) -> None:
    best = run.mixture.best
    assert best is not None
    info = figures.components_info(run)
    size, count = run.vae.window_px, best.n_components
    assert info.decoded.shape == info.core_mean.shape == info.typical.shape == (count, size, size)
    centre = run.mixture.shift + np.linalg.inv(run.mixture.transform) @ best.means[0]
    np.testing.assert_allclose(info.decoded[0], vo.decode(run.vae, centre[None])[0], rtol=1e-5)
    assert info.share.sum() == pytest.approx(1)
    assert info.members.sum() == len(run.latents)
    assert info.cores.tolist() == [info.members[0]] + [0] * (count - 1)
    assert np.isnan(info.core_mean[1:]).all()
    assert np.isnan(info.typical[1:]).all()
    assert np.isnan(info.match[1:]).all()


def test_the_mean_is_of_aligned_patches_where_enough_of_them_reach(run: WorkflowRun) -> None:
    info = figures.components_info(run)
    back = align(run.vae, run.patches, run.latents, run.mixture.core)
    seen = np.isfinite(back).sum(axis=0)
    known = seen >= np.maximum(1, 0.1 * len(back))
    np.testing.assert_array_equal(np.isfinite(info.core_mean[0]), known)
    np.testing.assert_allclose(info.core_mean[0][known], np.nanmean(back[:, known], axis=0))
    expected = np.corrcoef(info.core_mean[0][known], info.decoded[0][known])[0, 1]
    assert info.match[0] == pytest.approx(expected)


def test_the_typical_patch_is_the_core_patch_nearest_to_the_centre(run: WorkflowRun) -> None:
    best = run.mixture.best
    assert best is not None
    info = figures.components_info(run)
    away = (run.latents.z - run.mixture.shift) @ run.mixture.transform.T - best.means[0]
    far = np.einsum("ni,ij,nj->n", away, np.linalg.inv(best.covariances[0]), away)
    nearest = np.where(run.mixture.core, far, np.inf).argmin()
    np.testing.assert_array_equal(info.typical[0], run.patches.pixels[nearest])


def test_the_frame_of_components_holds_every_pixel(run: WorkflowRun) -> None:
    info = figures.components_info(run)
    size = info.window_px
    frame = figures.components_frame(info)
    assert len(frame) == len(info.share) * size * size
    assert frame["decoded"].iloc[size + 1] == info.decoded[0, 1, 1]
    assert frame["core mean"].iloc[size + 1] == info.core_mean[0, 1, 1]
    assert frame["nearest core patch"].iloc[size + 1] == info.typical[0, 1, 1]


def test_components_without_core_points_say_so(run: WorkflowRun) -> None:
    info = figures.components_info(run)
    count = len(info.share)
    drawn = figures.draw_components(info)
    assert len(drawn.layout.images) == count + 2
    empty = [note for note in drawn.layout.annotations if "no core" in note.text]
    assert len(empty) == 2 * (count - 1)
    assert len(drawn.layout.shapes) == 3 * count


@pytest.mark.parametrize(
    ("invariances", "words"),
    [
        ((), "mean of the patches at its core."),
        (("rotation",), "each turned back by the pose"),
        (("rotation", "scale"), "each turned and resized back"),
        (("rotation", "translation", "scale"), "each turned, shifted and resized back"),
    ],
)
def test_the_caption_says_what_was_done_to_patches(
    run: WorkflowRun, invariances: tuple[str, ...], words: str
) -> None:
    info = figures.components_info(run)._replace(invariances=invariances)
    assert words in figures.components_caption(info)
    ticks = figures.draw_components(info).layout.yaxis.ticktext
    assert ("aligned" in ticks[1]) == bool(invariances)


def test_the_caption_names_pixels_that_few_patches_reach(run: WorkflowRun) -> None:
    info = figures.components_info(run)
    whole = info._replace(core_mean=np.zeros_like(info.core_mean))
    assert "Pale blue" not in figures.components_caption(whole)
    hole = np.zeros_like(info.core_mean)
    hole[0, 0, 0] = np.nan
    assert "Pale blue" in figures.components_caption(info._replace(core_mean=hole))


def test_many_components_stand_in_lines(run: WorkflowRun) -> None:
    count = 23
    one = figures.components_info(run)
    table = one._asdict()
    for name in ("decoded", "core_mean", "typical", "match", "share", "members", "cores"):
        table[name] = np.repeat(table[name][:1], count, axis=0)
    drawn = figures.draw_components(figures.ComponentsInfo(**table))
    corners = {(s.x0, s.y1) for s in drawn.layout.shapes}
    assert len(corners) == 3 * count
    assert max(x for x, _ in corners) < 10


def test_many_components_have_marks_of_their_own() -> None:
    count = 23
    centres = 100.0 * np.arange(count)
    z = np.repeat(centres, 20)[:, None] + np.random.default_rng(0).normal(size=(20 * count, 2))
    many = example_run(z, Workflow(mixture={"kind": "gmm", "components": [1, 2], "n_init": 1}))  # type: ignore[arg-type]
    own = np.repeat(np.arange(count), 20)
    kept = np.ones(len(z), bool)
    mixture = replace(many.mixture, responsibilities=np.eye(count)[own], kept=kept)
    many = replace(many, mixture=mixture)
    for figure in (figures.latents(many), figures.real_space(many)):
        marks = {
            trace.name.split()[1]: (trace.marker.color, trace.marker.symbol)
            for trace in figure.data
            if trace.mode == "markers" and trace.name.startswith("component")
        }
        assert len(marks) == len(set(marks.values())) == count
        assert marks["20"] == (component_colour(20), component_symbol(20))
