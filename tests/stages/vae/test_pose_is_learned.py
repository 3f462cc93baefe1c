"""A rotation model on turned copies of one shape: the turn goes to the angle."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Latents, Patches, TrainedVae
from vaeopt.stages.vae import VaeSettings, align, decode, encode, train

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


def test_patches_come_back_upright_as_the_decoder_draws_them(
    vae: TrainedVae, latents: Latents, turned: Patches
) -> None:
    decoded = decode(vae, latents.z_mean.mean(axis=0))[0]
    back = align(vae, turned, latents)
    known = np.isfinite(back).all(axis=0)
    assert known.mean() > 0.3
    mean, as_they_lie = back.mean(axis=0), turned.pixels.mean(axis=0)
    assert np.corrcoef(mean[known], decoded[known])[0, 1] > 0.97
    assert np.corrcoef(as_they_lie[known], decoded[known])[0, 1] < 0.9
    # One by one too: every copy becomes the same picture.
    assert np.nanstd(back[:, known], axis=0).mean() < 0.4 * turned.pixels.std(axis=0).mean()


def test_some_patches_are_aligned_like_all(
    vae: TrainedVae, latents: Latents, turned: Patches
) -> None:
    mask = np.arange(len(turned)) % 3 == 0
    np.testing.assert_array_equal(
        align(vae, turned, latents, mask), align(vae, turned, latents)[mask]
    )


def test_without_invariances_patches_stay_as_they_are(
    untrained: Callable[..., TrainedVae], patches: Patches
) -> None:
    vanilla = untrained(invariances=())
    np.testing.assert_array_equal(align(vanilla, patches, encode(vanilla, patches)), patches.pixels)


def test_all_poses_together_are_taken_back(untrained: Callable[..., TrainedVae]) -> None:
    """What a decoder draws with a pose is, without it, what it draws upright."""
    model = untrained(
        size_px=25, invariances=("rotation", "translation", "scale"), latent_dim=1, device="cpu"
    )
    rng = np.random.default_rng(0)
    blank = Patches(pixels=rng.random((8, 25, 25)).astype(np.float32), keypoint_index=np.arange(8))
    posed = replace(encode(model, blank), code_mean=rng.normal(size=(8, 4)))
    drawn = Patches(pixels=decode(model, posed), keypoint_index=np.arange(8))
    back, upright = align(model, drawn, posed), decode(model, posed.z_mean)
    known = np.isfinite(back)
    assert known.mean() > 0.4
    assert np.abs(back - upright)[known].max() < 0.1 * np.ptp(upright)
    assert np.abs(drawn.pixels - upright)[known].max() > 0.5 * np.ptp(upright)
