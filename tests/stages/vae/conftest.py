"""Small models and patches for the tests of the VAE."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings

Untrained = Callable[..., TrainedVae]


@pytest.fixture(scope="session")
def patches() -> Patches:
    """24 windows of 7 px with one bright spot each."""
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:7, :7]
    y, x = rng.uniform(1, 5, (2, 24, 1, 1))
    pixels = 0.9 * np.exp(-((row - y) ** 2 + (col - x) ** 2) / 3) + 0.1 * rng.random((24, 7, 7))
    return Patches(pixels=pixels.astype(np.float32), keypoint_index=np.arange(24))


@pytest.fixture(scope="session")
def untrained() -> Untrained:
    """A model with the random weights it starts from, made livelier; settings by keyword."""

    def make(size_px: int = 7, seed: int = 0, **table: Any) -> TrainedVae:
        settings = VaeSettings(**{"width": 12, "depth": 1, **table})
        model = build(settings, size_px, seed=seed)
        weights = {name: 2 * value.numpy() for name, value in model.state_dict().items()}
        return TrainedVae(
            config=settings.to_table(), window_px=size_px, weights=weights, loss_nats=np.zeros(1)
        )

    return make
