"""Pictures of a trial: every kind of run is drawn, and what they show is right."""

import io
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from tests.report.pictures.runs import KINDS, run_of
from vaeopt.core.types import WorkflowRun
from vaeopt.report.figures.latents import best_pair
from vaeopt.report.illustrator import Pictures
from vaeopt.report.palette import COMPONENTS, component_colour
from vaeopt.report.pictures import PAINTERS
from vaeopt.report.pictures.canvas import Canvas, greys
from vaeopt.report.pictures.keymap import draw_map
from vaeopt.report.pictures.latents import (
    draw_latents,
    histogram_info,
)
from vaeopt.report.pictures.manifold import manifold_info
from vaeopt.report.pictures.png import palette, png
from vaeopt.report.pictures.reconstructions import excess_nats, pairs_info
from vaeopt.report.pictures.training import training_info
from vaeopt.report.pictures.words import shares_of
from vaeopt.stages.vae import decode


def _pixels(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _shows(picture: NDArray[np.uint8], colour: str) -> int:
    """Pixels of exactly this colour."""
    wanted = np.rint(255 * np.asarray(to_rgb(colour)))
    return int((picture == wanted).all(axis=-1).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_all_pictures(kind: str) -> None:
    drawn = Pictures().pictures(KINDS[kind]())
    assert drawn.failed == {}
    assert list(drawn.pictures) == list(PAINTERS)
    assert sorted(drawn.pictures) == list(PAINTERS), "the dashboard sorts by name"
    for name, content in drawn.pictures.items():
        picture = _pixels(content)
        assert (picture < 255).any(axis=-1).mean() > 0.005, f"{name} is blank"


def test_nothing_is_drawn_at_random() -> None:
    run = run_of()
    before = (random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state())  # noqa: NPY002
    first, second = Pictures().pictures(run), Pictures().pictures(run)
    assert first == second
    assert random.getstate() == before[0]
    assert str(np.random.get_state(legacy=False)) == str(before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_component_has_its_colour_in_every_picture() -> None:
    run = run_of()
    drawn = Pictures().pictures(run).pictures
    for k in shares_of(run).components.tolist():
        for name, content in drawn.items():
            if name != "05_training.png":
                assert _shows(_pixels(content), component_colour(k)) > 20, (name, k)


def test_the_palette_of_a_file_keeps_colours_and_greys() -> None:
    assert len(palette()) <= 256
    colours = np.asarray([to_rgb(c) for c in COMPONENTS]) * 255
    row = np.rint(colours).astype(np.uint8)[None]
    assert (_pixels(png(row)) == row).all()
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(_pixels(png(ramp)).astype(int) - ramp).max() <= 1
    assert _pixels(png(ramp))[0, [0, 255]].tolist() == [[0] * 3, [255] * 3]


def test_an_image_is_put_where_it_belongs_and_not_smoothed() -> None:
    canvas = Canvas(20, 10)
    canvas.image(greys(np.asarray([[0.0, 0.5], [1.0, 0.0]])), 3, 4)
    picture = np.asarray(canvas.sheet())
    assert picture[4:6, 3:5, 0].tolist() == [[0, 128], [255, 0]]
    assert (picture == 255).sum() == 3 * (20 * 10 - 3)


# ---- latents -----------------------------------------------------------------------------------


def _with(run: WorkflowRun, z: NDArray[np.float64], component: NDArray[np.int64]) -> WorkflowRun:
    n, k = len(z), int(component.max()) + 1
    tau = np.eye(k)[component]
    mixture = replace(
        run.mixture, responsibilities=tau, kept=np.ones(n, bool), core=np.zeros(n, bool)
    )
    return replace(run, mixture=mixture, latents=replace(run.latents, z_mean=z))


def test_the_plane_is_the_one_that_tells_components_apart() -> None:
    run = run_of("vae.latent_dim=3")
    n = len(run.latents)
    rng = np.random.default_rng(0)
    component = np.arange(n) % 3
    z = rng.standard_normal((n, 3)) * [1.0, 5.0, 0.1]
    z[:, 0] += 6 * (component == 1)
    z[:, 2] += 0.6 * (component == 2)  # small numbers, far apart for their width
    assert best_pair(_with(run, z, component)) == (0, 2)
    alone = _with(run, z, np.zeros(n, np.int64))
    told = alone.diagnostics.snr
    assert set(best_pair(alone)) == set(np.argsort(told)[1:].tolist())
    assert best_pair(run_of()) == (0, 1)
    assert best_pair(run_of("vae.latent_dim=1")) == (0, 0)


def test_the_histogram_counts_every_patch_once() -> None:
    run = run_of("vae.latent_dim=1")
    info = histogram_info(run)
    assert info.counts.sum() + info.filtered.sum() == len(run.latents)
    assert info.filtered.sum() == (~run.mixture.kept).sum()
    for k, row in zip(info.components, info.counts, strict=True):
        assert row.sum() == (run.mixture.kept & (run.mixture.component == k)).sum()
    best = run.mixture.best
    assert best is not None
    fitted = (info.bars[:, 0] - run.mixture.shift[0]) * run.mixture.transform[0, 0]
    assert fitted == pytest.approx(best.means[:, 0])
    half = (info.bars[:, 2] - info.bars[:, 1]) / 4 * abs(run.mixture.transform[0, 0])
    assert half**2 == pytest.approx(best.covariances[:, 0, 0])


def test_points_outside_of_the_plane_of_a_collapsed_latent_do_not_matter() -> None:
    canvas = draw_latents(KINDS["no spread"]())
    assert (np.asarray(canvas.sheet()) < 255).any()


# ---- manifold ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rotation", "three latents", "one latent", "whitened"])
def test_tiles_are_decoded_where_the_axes_say(kind: str) -> None:
    run = KINDS[kind]()
    info = manifold_info(run)
    rows, columns = info.component.shape
    assert info.tiles.shape == (rows, columns, run.vae.window_px, run.vae.window_px)
    z = run.latents.z_mean[run.mixture.kept]
    assert (np.diff(info.x) > 0).all()
    assert (np.diff(info.y) < 0).all(), "the second latent goes up"
    low, high = np.percentile(z[:, info.first], [2.5, 97.5])
    assert info.x[[0, -1]] == pytest.approx([low, high])
    i, j = 0, columns - 1
    point = np.median(z, axis=0)
    point[info.second] = info.y[i]
    point[info.first] = info.x[j]
    assert info.tiles[i, j] == pytest.approx(decode(run.vae, point[None])[0], abs=1e-6)


def test_frames_agree_with_the_components_of_patches() -> None:
    run = run_of()
    info = manifold_info(run)
    z = run.latents.z_mean
    # The patch nearest to a tile belongs to the same component, except at a border.
    grid = np.stack(np.meshgrid(info.x, info.y), axis=-1).reshape(-1, 2)
    nearest = ((grid[:, None] - z[None]) ** 2).sum(axis=-1).argmin(axis=1)
    agree = run.mixture.component[nearest] == info.component.ravel()
    assert agree.mean() > 0.8
    assert (manifold_info(KINDS["no mixture"]()).component == -1).all()


# ---- reconstructions ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rotation", "gaussian"])
def test_errors_of_patches_add_up_to_that_of_the_run(kind: str) -> None:
    run = KINDS[kind]()
    mean = excess_nats(run).mean() / run.vae.window_px**2
    assert mean == pytest.approx(run.latents.reconstruction.excess_nll_nats, rel=1e-3)


def test_typical_patches_are_core_points_and_the_worst_come_back_worst() -> None:
    run = run_of()
    info, excess = pairs_info(run), excess_nats(run)
    decoded = decode(run.vae, run.latents)
    for k, typical, worst in zip(info.components, info.typical, info.worst, strict=True):
        own = run.mixture.kept & (run.mixture.component == k)
        assert not set(typical) & set(worst)
        assert excess[worst[-1]] == excess[own].max()
        core = own & run.mixture.core
        core[worst] = False
        if core.sum() >= 4:
            assert run.mixture.core[typical].all()
        for patch in (*typical, *worst):
            error = np.sqrt(((decoded[patch] - run.patches.pixels[patch]) ** 2).mean())
            assert info.rmse[patch] == pytest.approx(error, rel=1e-4)
            assert info.decoded[patch] == pytest.approx(decoded[patch], abs=1e-5)


def test_without_a_mixture_all_patches_stand_in_one_row() -> None:
    info = pairs_info(KINDS["no mixture"]())
    assert info.components.tolist() == [-1]
    assert len(info.typical[0]) == 4


# ---- map ---------------------------------------------------------------------------------------


def test_a_key_point_is_drawn_on_its_pixel() -> None:
    run = run_of()
    one = np.arange(len(run.keypoints)) == 5
    mixture = replace(run.mixture, kept=one)
    k = int(mixture.component[5])
    picture = np.asarray(draw_map(replace(run, mixture=mixture)).sheet())
    wanted = np.rint(255 * np.asarray(to_rgb(component_colour(k))))
    rows, columns = np.nonzero((picture[:, : 12 + 480] == wanted).all(axis=-1))
    zoom = 512 // 48
    expected = (run.keypoints.yx_px[5] + 0.5) * zoom + [50, 12]
    assert [rows.mean() + 0.5, columns.mean() + 0.5] == pytest.approx(expected, abs=0.7)


def test_images_of_other_content_are_not_taken_for_the_last_one() -> None:
    run = run_of()
    first = np.asarray(draw_map(run).sheet())
    inverted = replace(run.micrograph, pixels=1 - run.micrograph.pixels, sha256="other")
    second = np.asarray(draw_map(replace(run, micrograph=inverted)).sheet())
    assert (first != second).mean() > 0.3
    assert (np.asarray(draw_map(run).sheet()) == first).all()


# ---- training ----------------------------------------------------------------------------------


def test_the_curve_says_how_a_training_ended() -> None:
    run = run_of()
    assert training_info(run).ends == ["2 epochs"]
    assert training_info(KINDS["diverged"]()).ends == ["2 epochs, then diverged"]
    stopped = replace(run, vae=replace(run.vae, stopped=True))
    assert "stopped early" in training_info(stopped).ends[0]
    short = replace(run, vae=replace(run.vae, loss_nats=run.vae.loss_nats[:1]))
    assert training_info(short).ends == ["1 epoch of 2: no more improvement"]
    several = training_info(KINDS["replicates"]())
    assert len(several.loss_nats) == 2
    assert not np.array_equal(several.loss_nats[0], several.loss_nats[1])


def test_steep_first_epochs_do_not_flatten_the_curve() -> None:
    run = run_of()
    loss = np.concatenate([[1e6, 1e5], np.linspace(60, 50, 198)])
    low, high = training_info(replace(run, vae=replace(run.vae, loss_nats=loss))).shown
    assert low < 50 < 60 < high < 70
