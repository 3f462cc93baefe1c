"""A rotation model on turned copies of one shape: the turn goes to the angle."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Latents, Patches, TrainedVae
from vaeopt.stages.vae import VaeSettings, decode, encode, train

SIZE = 9
TURNS_RAD = np.random.default_rng(0).uniform(-1.2, 1.2, 96)


def _letter(turn_rad: float) -> NDArray[np.float64]:
    """An L turned counter-clockwise, row 0 on top."""
    y, x = np.mgrid[1 : -1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    x, y = cos * x + sin * y, -sin * x + cos * y
    stem = np.exp(-((x + 0.3) ** 2 / 0.03 + y**2 / 0.3))
    foot = np.exp(-((x - 0.05) ** 2 / 0.15 + (y + 0.45) ** 2 / 0.03))
    return np.asarray(np.clip(stem + foot, 0, 1))


@pytest.fixture(scope="module")
def turned() -> Patches:
    pixels = np.stack([_letter(turn) for turn in TURNS_RAD]).astype(np.float32)
    return Patches(pixels=pixels, keypoint_index=np.arange(len(pixels)))


@pytest.fixture(scope="module")
def vae(turned: Patches) -> TrainedVae:
    settings = VaeSettings(
        invariances=("rotation",),
        latent_dim=1,
        width=24,
        epochs=100,
        batch_size=24,
        learning_rate=5e-3,
        kl_scale=1e-4,
        device="cpu",
    )
    return train(settings, turned, seeds=Seeds(0, 0))


@pytest.fixture(scope="module")
def latents(vae: TrainedVae, turned: Patches) -> Latents:
    return encode(vae, turned)


def test_pictures_come_back_in_their_own_orientation(
    vae: TrainedVae, latents: Latents, turned: Patches
) -> None:
    posed = ((decode(vae, latents) - turned.pixels) ** 2).mean()
    upright = ((decode(vae, latents.z_mean) - turned.pixels) ** 2).mean()
    assert posed < 0.5 * upright
    assert posed == pytest.approx(latents.reconstruction.mse, rel=1e-4)


def test_the_angle_follows_the_turn_of_the_content_with_its_sign(latents: Latents) -> None:
    """Up to one constant, because a model may call any orientation upright."""
    offset = np.exp(1j * (latents.codes["angle_rad"] - TURNS_RAD)).mean()
    assert abs(offset) > 0.99
    clockwise = np.exp(1j * (latents.codes["angle_rad"] + TURNS_RAD)).mean()
    assert abs(clockwise) < 0.6


def test_the_turn_goes_to_the_angle_and_not_to_the_content(latents: Latents) -> None:
    assert latents.codes["angle_rad"].std() > 0.5
    assert latents.z_mean.std() < 0.1
