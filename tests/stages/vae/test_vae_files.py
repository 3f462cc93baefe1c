"""A model file carries everything: nothing is retyped, and nothing damaged gets through."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vaeopt.core.errors import DataError
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae import VaeSettings, decode, encode, load_vae, save_vae, train
from vaeopt.testing import example_micrograph

Untrained = Callable[..., TrainedVae]
SETTINGS = VaeSettings(
    width=12,
    depth=1,
    epochs=2,
    invariances=("rotation", "translation"),
    prior_sd={"translation": 0.3},  # type: ignore[arg-type]  # as a study file writes it
    latent_dim=3,
)


@pytest.fixture(scope="module")
def vae(patches: Patches) -> TrainedVae:
    return train(SETTINGS, patches, seeds=Seeds(0, 0), micrograph=example_micrograph())


def test_a_loaded_model_draws_the_same_pictures_without_retyping_anything(
    vae: TrainedVae, patches: Patches, tmp_path: Path
) -> None:
    loaded = load_vae(save_vae(vae, tmp_path / "model.safetensors"))
    first, again = encode(vae, patches), encode(loaded, patches)
    np.testing.assert_array_equal(again.z_mean, first.z_mean)
    for name, values in first.codes.items():
        np.testing.assert_array_equal(again.codes[name], values)
    np.testing.assert_array_equal(decode(loaded, again), decode(vae, first))


def test_a_loaded_model_is_the_saved_one(vae: TrainedVae, tmp_path: Path) -> None:
    loaded = load_vae(save_vae(vae, tmp_path / "model.safetensors"))
    assert VaeSettings(**loaded.config) == SETTINGS
    assert set(loaded.weights) == set(vae.weights)
    for name, array in vae.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], array)
    np.testing.assert_array_equal(loaded.loss_nats, vae.loss_nats)
    for name in ("window_px", "diverged", "pixel_scaling", "pixel_size_nm"):
        assert getattr(loaded, name) == getattr(vae, name)


def test_a_diverged_model_without_scaling_round_trips_too(vae: TrainedVae, tmp_path: Path) -> None:
    odd = replace(vae, diverged=True, pixel_scaling=None, pixel_size_nm=None, loss_nats=np.zeros(0))
    loaded = load_vae(save_vae(odd, str(tmp_path / "model.safetensors")))
    assert (loaded.diverged, loaded.pixel_scaling, loaded.pixel_size_nm) == (True, None, None)
    assert loaded.loss_nats.shape == (0,)


def _refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_vae(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    assert "does not exist" in _refused(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 60, -100])
def test_a_model_that_is_cut_off_is_damaged(vae: TrainedVae, tmp_path: Path, keep: int) -> None:
    path = save_vae(vae, tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    assert "is damaged" in _refused(path)


def test_text_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("this is not a model, but it is long enough to be read as one\n" * 5)
    assert "is damaged" in _refused(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"vaeopt": '{"format": "other"}'}])
def test_a_model_of_another_program_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.zeros(3, dtype=np.float32)}, path, metadata=metadata)
    assert "is not a model written by vaeopt" in _refused(path)


def test_a_setting_that_is_not_known_is_of_another_version(vae: TrainedVae, tmp_path: Path) -> None:
    later = replace(vae, config={**vae.config, "wings": 2})
    path = save_vae(later, tmp_path / "model.safetensors")
    assert "was written by another version: wings: unknown setting" in _refused(path)


def test_a_model_without_its_learning_curve_is_damaged(vae: TrainedVae, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.zeros(3)}, path, metadata={"vaeopt": '{"format": "vaeopt-vae-1"}'})
    assert "is damaged" in _refused(path)
