"""One patch per key point, in the order of the key points."""

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.core.types import KeyPoints
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.testing import example_micrograph

MICROGRAPH = example_micrograph()
POINTS = KeyPoints(
    yx_px=np.array([(30.0, 20.0), (10.4, 50.2), (30.0, 20.0)]), strength=np.arange(3.0)
)


def test_patches_are_the_windows_of_their_key_points() -> None:
    patches = cut(PatchSettings(size_px=7), MICROGRAPH, POINTS)
    assert patches.pixels.shape == (3, 7, 7)
    np.testing.assert_array_equal(patches.pixels[0], MICROGRAPH.pixels[27:34, 17:24])
    np.testing.assert_array_equal(patches.pixels[1], MICROGRAPH.pixels[7:14, 47:54])
    np.testing.assert_array_equal(patches.pixels[2], patches.pixels[0])


def test_patches_know_their_key_point() -> None:
    assert cut(PatchSettings(size_px=7), MICROGRAPH, POINTS).keypoint_index.tolist() == [0, 1, 2]


def test_patches_share_no_memory_with_the_image() -> None:
    patches = cut(PatchSettings(size_px=7), MICROGRAPH, POINTS)
    assert not np.shares_memory(patches.pixels, MICROGRAPH.pixels)


@pytest.mark.parametrize("size", [2, 513])
def test_windows_have_3_to_512_pixels(size: int) -> None:
    with pytest.raises(SettingsError, match="size_px"):
        PatchSettings(size_px=size)
