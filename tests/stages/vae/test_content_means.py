"""Content latents without a decoder: the same numbers as those of the whole encoding."""

from collections.abc import Callable

import numpy as np
import pytest

from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae import encode
from vaeopt.stages.vae.encode import content_means

Untrained = Callable[..., TrainedVae]


@pytest.mark.parametrize("invariances", ["none", "rotation", "rotation+translation+scale"])
def test_they_are_the_means_of_the_encoding(
    untrained: Untrained, patches: Patches, invariances: str
) -> None:
    vae = untrained(invariances=invariances, latent_dim=3)
    found = content_means(vae, patches)
    assert found.dtype == np.float64
    assert found.shape == (24, 3)
    np.testing.assert_array_equal(found, encode(vae, patches).z_mean)


def test_no_patch_has_no_latents(untrained: Untrained) -> None:
    none = Patches(pixels=np.empty((0, 7, 7), np.float32), keypoint_index=np.empty(0, np.int64))
    assert content_means(untrained(), none).shape == (0, 2)


def test_windows_of_another_size_are_refused(untrained: Untrained, patches: Patches) -> None:
    with pytest.raises(ValueError, match="windows of 9 px, got 7 px"):
        content_means(untrained(size_px=9), patches)
