"""Nouns of the flow: shapes are guarded where they are made."""

import dataclasses

import numpy as np
import pytest

from vaeopt.core.types import Collapse, KeyPoints, Micrograph, Mixture, Patches


def _micrograph(shape: tuple[int, ...]) -> Micrograph:
    return Micrograph(
        name="a", pixels=np.zeros(shape), pixel_size_nm=None, sha256="", scaling=(0.0, 1.0)
    )


def _mixture(chosen: int | None, responsibilities: list[list[float]]) -> Mixture:
    return Mixture(
        fits=(),
        chosen=chosen,
        selection_weight=None,
        space="raw",
        shift=np.zeros(2),
        transform=np.array([[2.0, 0.0], [0.0, 0.25]]),
        fit_index=np.arange(2),
        kept=np.array([True, True, False]),
        responsibilities=np.asarray(responsibilities),
        core=np.zeros(3, dtype=bool),
    )


def test_a_micrograph_is_two_dimensional() -> None:
    assert _micrograph((9, 8)).pixels.shape == (9, 8)
    with pytest.raises(ValueError, match=r"\(height, width\), got \(9, 8, 3\)"):
        _micrograph((9, 8, 3))


def test_key_points_are_pairs_with_one_strength_each() -> None:
    assert len(KeyPoints(yx_px=np.zeros((3, 2)), strength=np.zeros(3))) == 3
    with pytest.raises(ValueError, match=r"yx_px must be \(n, 2\), got \(3, 3\)"):
        KeyPoints(yx_px=np.zeros((3, 3)), strength=np.zeros(3))
    with pytest.raises(ValueError, match=r"strength must be \(3,\), got \(2,\)"):
        KeyPoints(yx_px=np.zeros((3, 2)), strength=np.zeros(2))


def test_patches_are_square_and_know_their_key_point() -> None:
    patches = Patches(pixels=np.zeros((4, 7, 7)), keypoint_index=np.arange(4))
    assert (len(patches), patches.size_px) == (4, 7)
    with pytest.raises(ValueError, match=r"\(n, size, size\), got \(4, 7, 6\)"):
        Patches(pixels=np.zeros((4, 7, 6)), keypoint_index=np.arange(4))
    with pytest.raises(ValueError, match="one key-point index per patch"):
        Patches(pixels=np.zeros((4, 7, 7)), keypoint_index=np.arange(3))


def test_nouns_are_frozen() -> None:
    points = KeyPoints(yx_px=np.zeros((3, 2)), strength=np.zeros(3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        points.strength = np.ones(3)  # type: ignore[misc]  # that is the test


@pytest.mark.parametrize(("margin", "feasible"), [(-0.1, True), (0.0, True), (1e-9, False)])
def test_a_run_is_feasible_up_to_a_margin_of_zero(margin: float, feasible: bool) -> None:
    assert Collapse(margin=margin, reasons=()).feasible is feasible


def test_a_component_is_the_most_probable_one() -> None:
    mixture = _mixture(0, [[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
    assert mixture.component.tolist() == [1, 0, 1]


def test_without_a_fit_every_component_is_minus_one() -> None:
    mixture = _mixture(None, [[], [], []])
    assert mixture.best is None
    assert mixture.component.tolist() == [-1, -1, -1]


def test_log_det_whitening_is_that_of_the_transform() -> None:
    assert _mixture(None, [[], [], []]).log_det_whitening == pytest.approx(np.log(0.5))
