"""Places that a rendered image brings along, and one line where there are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vaeopt.core.errors import DataError
from vaeopt.core.types import Micrograph
from vaeopt.datasets import render
from vaeopt.stages.keypoints import KeypointDetector, detect
from vaeopt.stages.keypoints.given import Given
from vaeopt.stages.micrograph import ImageSettings, load

PLAIN = Micrograph(
    name="scan",
    pixels=np.zeros((40, 50), np.float32),
    pixel_size_nm=None,
    sha256="",
    scaling=(0.0, 1.0),
)
PLACES = np.array([[20.0, 30.0], [1.0, 2.0], [10.5, 12.25]])


def test_places_are_those_of_the_image_in_their_order() -> None:
    found = Given().find(replace(PLAIN, yx_px=PLACES), folder=Path())
    np.testing.assert_array_equal(found.yx_px, PLACES)
    np.testing.assert_array_equal(found.strength, [1, 1, 1])
    assert not np.shares_memory(found.yx_px, PLACES)


def test_the_margin_of_the_largest_window_holds_for_them_too() -> None:
    found = detect(Given(), replace(PLAIN, yx_px=PLACES), largest_window_px=9)
    np.testing.assert_array_equal(found.yx_px, PLACES[[0, 2]])


def test_a_rendered_image_brings_its_places_along() -> None:
    image = load(ImageSettings(dataset="texture", seed=3), folder=Path())
    detector = KeypointDetector.from_table({"kind": "given"})
    found = detector.find(image, folder=Path())
    np.testing.assert_array_equal(found.yx_px, render("texture", seed=3).yx_px)


def test_an_image_without_places_is_refused_in_one_line() -> None:
    with pytest.raises(DataError) as caught:
        detect(Given(), PLAIN, largest_window_px=5)
    assert str(caught.value) == (
        "workflow.keypoints.kind: the image 'scan' brings no places along; only rendered ones do; "
        "choose canny, local-maxima, grid or csv"
    )


def test_places_must_be_rows_and_columns() -> None:
    with pytest.raises(ValueError, match=r"yx_px must be \(n, 2\)"):
        replace(PLAIN, yx_px=PLACES.T[:1])
