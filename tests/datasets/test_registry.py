"""Rendered scans by name: every family and preset keeps the contract, mistakes are one line."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from vaeopt.core.errors import DataError
from vaeopt.datasets import AMBIGUOUS, RENDERED, RenderedScan, difficulties, render
from vaeopt.datasets.domains import render_domains
from vaeopt.datasets.registry import _FAMILIES

CASES = [(name, difficulty) for name in RENDERED for difficulty in difficulties(name)]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def scan(request: pytest.FixtureRequest) -> RenderedScan:
    name, difficulty = request.param
    scan = render(name, seed=4, difficulty=difficulty)
    assert (scan.name, scan.difficulty) == (name, difficulty)
    return scan


def again(scan: RenderedScan, **changed: Any) -> RenderedScan:
    return render(scan.name, **{"seed": 4, "difficulty": scan.difficulty, **changed})


def test_the_seed_decides(scan: RenderedScan) -> None:
    same, other = again(scan), again(scan, seed=5)
    assert np.array_equal(scan.pixels, same.pixels)
    assert np.array_equal(scan.class_map, same.class_map)
    assert np.array_equal(scan.yx_px, same.yx_px)
    assert not np.array_equal(scan.pixels, other.pixels)


def test_pixels_are_positive_and_vary(scan: RenderedScan) -> None:
    assert np.isfinite(scan.pixels).all()
    assert scan.pixels.min() > 0
    assert scan.pixels.std() > 0


def test_classes_are_those_that_are_named(scan: RenderedScan) -> None:
    assert len(set(scan.class_names)) == scan.n_classes
    assert set(np.unique(scan.class_map)) - {AMBIGUOUS} == set(range(scan.n_classes))


def test_angles_lie_in_the_period_of_their_class(scan: RenderedScan) -> None:
    known = scan.class_map != AMBIGUOUS
    assert np.isfinite(scan.angle_rad[known]).all()
    assert np.isnan(scan.angle_rad[~known]).all()
    for kind, order in enumerate(scan.symmetry):
        angle = scan.angle_rad[scan.class_map == kind]
        assert angle.min() >= 0
        assert angle.max() < 2 * np.pi / order if order else angle.max() == 0


def test_places_are_many_inside_and_apart(scan: RenderedScan) -> None:
    yx = scan.yx_px
    assert 350 <= len(yx) <= 1100
    assert (yx >= 0).all()
    assert (yx <= np.array(scan.pixels.shape) - 1).all()
    assert len(np.unique(yx, axis=0)) == len(yx)


def test_no_class_is_rare_among_places(scan: RenderedScan) -> None:
    classes = scan.classes_at(scan.yx_px)
    share = np.bincount(classes[classes != AMBIGUOUS], minlength=scan.n_classes) / len(classes)
    assert share.min() > 0.08


def test_lengths_are_those_of_a_window(scan: RenderedScan) -> None:
    assert 5 <= scan.length_px <= 48
    assert all(np.isfinite(length) for length in scan.lengths_px.values())


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_medium_is_what_is_rendered_unless_said(name: str) -> None:
    assert {"easy", "medium", "hard"} <= set(difficulties(name))
    assert render(name, seed=2).difficulty == "medium"
    assert np.array_equal(
        render(name, seed=2).pixels, render(name, seed=2, difficulty="medium").pixels
    )


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_negative_seed_is_refused(name: str) -> None:
    with pytest.raises(DataError) as caught:
        render(name, seed=-1)
    assert caught.value.setting == "seed"


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_an_unknown_preset_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(DataError) as caught:
        render(name, difficulty="mediun")
    assert str(caught.value).startswith(
        f"image.difficulty: {name!r} has no preset 'mediun'; did you mean 'medium'? (known: "
    )
    assert "\n" not in str(caught.value)


def test_render_takes_the_defaults_of_the_family() -> None:
    drawn = render("ferroelectric-domains", seed=2)
    assert np.array_equal(drawn.pixels, render_domains(seed=2).pixels)


@pytest.mark.parametrize("ask", [render, difficulties])
def test_an_unknown_name_is_answered_with_the_nearest(ask: Any) -> None:
    with pytest.raises(DataError, match="did you mean 'ferroelectric-domains'"):
        ask("ferroelectric-domain")


def test_importing_the_package_imports_neither_a_renderer_nor_pooch() -> None:
    modules = {f"vaeopt.datasets.{module}" for module, _ in _FAMILIES.values()}
    code = (
        "import sys, vaeopt.datasets\n"
        f"sys.exit(' '.join({modules | {'pooch', 'scipy'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603
    assert done.stderr.strip() == ""
