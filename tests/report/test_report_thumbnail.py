"""Small pictures of latents: what is where, in which colour, and how many bytes."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaeopt as vo
from vaeopt.report.figures import latents_info
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.thumbnail import (
    ThumbnailInfo,
    draw_thumbnail,
    in_grey,
    png_uri,
    thumbnail_info,
)
from vaeopt.study.results.latents import StoredLatents, read_latents
from vaeopt.study.results.records import restore
from vaeopt.study.session import prepare


def latents(z: Any, component: Any, kept: Any = None, **more: Any) -> StoredLatents:
    z = np.asarray(z, np.float64)
    n, d = z.shape
    held: dict[str, Any] = {
        "trial": 0,
        "yx_px": np.zeros((n, 2)),
        "z_mean": z,
        "z_std": np.ones((n, d)),
        "codes": {},
        "error_nats": np.zeros(n),
        "kept": np.ones(n, bool) if kept is None else np.asarray(kept, bool),
        "core": np.zeros(n, bool),
        "component": np.asarray(component, np.int64),
        "responsibilities": np.zeros((n, 0)),
        "weights": np.zeros(0),
        "means": np.zeros((0, d)),
        "covariances": np.zeros((0, d, d)),
        "reasons": (),
    }
    return StoredLatents(**held | more)


def two_groups(n: int = 400, d: int = 2) -> StoredLatents:
    rng = np.random.default_rng(0)
    component = np.arange(n) % 2
    z = rng.normal(size=(n, d)) * 0.3
    z[:, -1] += 4 * component
    means = np.zeros((2, d))
    means[1, -1] = 4
    covariances = np.stack([0.09 * np.eye(d)] * 2)
    return latents(
        z, component, weights=np.asarray([0.5, 0.5]), means=means, covariances=covariances
    )


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def share(pixels: Any, colour: str) -> float:
    return float((pixels == rgb(colour)).all(axis=-1).mean())


def test_the_second_latent_runs_up_and_components_keep_their_colours() -> None:
    picture = draw_thumbnail(thumbnail_info(two_groups()))
    pixels = picture.rgb
    assert pixels.shape == (240, 320, 3)
    assert pixels.dtype == np.uint8
    upper, lower = pixels[:120], pixels[120:]
    assert share(upper, component_colour(1)) > 0.03
    assert share(lower, component_colour(0)) > 0.03
    assert share(upper, component_colour(0)) == share(lower, component_colour(1)) == 0


def test_ellipses_are_two_sigma() -> None:
    info = thumbnail_info(two_groups())
    lower, upper = info.ellipses
    np.testing.assert_allclose(np.hypot(*lower.T), 0.6)
    np.testing.assert_allclose(upper.mean(axis=0), [0.6 / 361, 4], atol=1e-9)


def test_of_many_latents_those_are_shown_that_tell_components_apart() -> None:
    assert 3 in thumbnail_info(two_groups(d=4)).axes
    rng = np.random.default_rng(0)
    loud = rng.normal(size=(50, 4)) * [1, 3, 0.1, 2]
    assert thumbnail_info(latents(loud, [0] * 50)).axes == (1, 3), "by signal to noise"
    assert thumbnail_info(latents(np.zeros((5, 1)), [0] * 5)).axes == (0,)


def test_it_shows_the_plane_of_the_large_figure(finished_folder: Path) -> None:
    study, session = vo.load_study(finished_folder), prepare(vo.open_study(finished_folder))
    for trial in study.trials:
        info = thumbnail_info(read_latents(trial, session.artefacts))
        large = latents_info(restore(trial, session))
        np.testing.assert_array_equal(info.z, large.z)
        for small, wide in zip(info.ellipses, large.ellipses, strict=True):
            np.testing.assert_allclose(small.min(axis=0), wide.min(axis=0), atol=1e-2)


def test_filtered_points_are_grey() -> None:
    z = [[0, 0], [1, 1], [0.5, 0.5]]
    pixels = draw_thumbnail(thumbnail_info(latents(z, [0, 0, 0], [True, True, False]))).rgb
    assert share(pixels, INFEASIBLE) > 0
    middle = pixels[118:123, 158:163].reshape(-1, 3)
    assert (middle == rgb(INFEASIBLE)).all(axis=1).any()


def test_one_latent_is_a_histogram() -> None:
    z = np.r_[np.full(30, -1.0), np.full(10, 1.0)][:, None]
    pixels = draw_thumbnail(thumbnail_info(latents(z, [0] * 30 + [1] * 10))).rgb
    left, right = pixels[:, :8], pixels[:, -8:]
    assert share(left, component_colour(0)) == pytest.approx(1 / 1.04, abs=0.02)
    assert share(right, component_colour(1)) == pytest.approx(1 / 3 / 1.04, abs=0.02)
    assert share(pixels[:, 40:-40], component_colour(0)) == 0


@pytest.mark.parametrize(
    "info",
    [
        ThumbnailInfo((0, 1), np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, bool), []),
        thumbnail_info(latents([[np.nan, 0.0], [np.inf, 1.0]], [-1, -1])),
        thumbnail_info(latents([[1.0, 2.0]] * 3, [-1] * 3)),
        thumbnail_info(latents([[1.0]] * 3, [-1] * 3)),
        thumbnail_info(latents([[0.0, 0.0], [1, 1], [1e300, -1e300]], [0] * 3, [1, 1, 0])),
        thumbnail_info(latents([[0.0, 0.0]] * 2, [0, 1], [0, 0])),
    ],
    ids=["nothing", "not finite", "one point", "one latent, one place", "far out", "all filtered"],
)
def test_whatever_the_latents_there_is_a_picture(info: ThumbnailInfo) -> None:
    assert draw_thumbnail(info, width_px=40, height_px=30).rgb.shape == (30, 40, 3)


def test_the_picture_is_a_small_png() -> None:
    picture = draw_thumbnail(thumbnail_info(two_groups(1000)))
    uri = png_uri(picture)
    assert uri.startswith("data:image/png;base64,")
    assert len(uri) < 16_000
    image = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(image), picture.rgb)


def test_a_grey_picture_has_no_colour() -> None:
    pixels = in_grey(draw_thumbnail(thumbnail_info(two_groups()))).rgb
    assert (pixels.max(axis=-1) == pixels.min(axis=-1)).all()
    assert len(np.unique(pixels)) > 3
