"""Use of a model: pure, patch by patch, pose included."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import math
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaeopt.core.types import KeyPoints, Latents, Patches, Reconstruction, TrainedVae
from vaeopt.kernels.elbo import reference
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.stages.vae import decode, encode
from vaeopt.stages.vae.model import build, restore
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.testing import example_micrograph

Untrained = Callable[..., TrainedVae]

COMBINATIONS = [
    "none",
    "rotation",
    "translation",
    "scale",
    "rotation+translation",
    "rotation+translation+scale",
]


def _latents(code_mean: Any, z_mean: Any) -> Latents:
    """Latents with these means; nothing else matters to a decoder."""
    codes, content = np.asarray(code_mean, dtype=float), np.asarray(z_mean, dtype=float)
    return Latents(
        z_mean=content,
        z_std=np.ones_like(content),
        codes={},
        code_mean=codes,
        code_std=np.ones_like(codes),
        error_nats=np.zeros(len(content)),
        reconstruction=Reconstruction(
            nll_nats=0.0, floor_nats=0.0, mse=0.0, fvu=0.0, fvu_core=0.0, core_px=1
        ),
    )


# ---- patch i depends on code i only


@pytest.mark.parametrize("invariances", COMBINATIONS)
def test_pictures_decode_together_as_one_by_one(untrained: Untrained, invariances: str) -> None:
    vae = untrained(invariances=invariances)
    n_codes = VaeSettings(**vae.config).n_codes
    rng = np.random.default_rng(1)
    codes, content = rng.normal(size=(6, n_codes)), rng.normal(size=(6, 2))
    together = decode(vae, _latents(codes, content))
    for i in range(6):
        one = decode(vae, _latents(codes[i : i + 1], content[i : i + 1]))
        np.testing.assert_allclose(one[0], together[i], atol=1e-6)


def test_angles_that_sum_to_zero_turn_their_pictures(untrained: Untrained) -> None:
    vae, content = untrained(invariances="rotation"), [[0.3, -0.8]] * 2
    turned = decode(vae, _latents([[0.5], [-0.5]], content))
    upright = decode(vae, _latents([[0.0], [0.0]], content))
    for i, angle in enumerate((0.5, -0.5)):
        alone = decode(vae, _latents([[angle]], content[:1]))
        np.testing.assert_allclose(turned[i], alone[0], atol=1e-6)
        assert np.abs(turned[i] - upright[i]).max() > 0.01


def test_an_angle_of_zero_is_the_limit_of_small_ones(untrained: Untrained) -> None:
    vae, content = untrained(invariances="rotation"), [[0.3, -0.8]]
    zero, small = (decode(vae, _latents([[a]], content)) for a in (0.0, 1e-4))
    np.testing.assert_allclose(zero, small, atol=1e-3)
    assert not np.array_equal(zero, small)


@pytest.mark.parametrize("invariances", COMBINATIONS)
def test_patches_encode_together_as_one_by_one(
    untrained: Untrained, patches: Patches, invariances: str
) -> None:
    vae = untrained(invariances=invariances)
    together = encode(vae, patches)
    for i in (0, 7, 23):
        one = encode(vae, Patches(pixels=patches.pixels[i : i + 1], keypoint_index=np.array([0])))
        np.testing.assert_allclose(one.z_mean[0], together.z_mean[i], atol=1e-5)
        np.testing.assert_allclose(one.z_std[0], together.z_std[i], atol=1e-5)
        np.testing.assert_allclose(one.code_mean[0], together.code_mean[i], atol=1e-5)
        assert one.error_nats[0] == pytest.approx(together.error_nats[i], rel=1e-5)
        for name, values in one.codes.items():
            assert values[0] == pytest.approx(together.codes[name][i], abs=1e-4)


def test_blocks_of_patches_do_not_show(
    untrained: Untrained, patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = untrained(invariances="rotation")
    whole = encode(vae, patches, core_px=3)
    module = sys.modules["vaeopt.stages.vae.encode"]  # the package has a function of that name
    monkeypatch.setattr(module, "_BLOCK_PIXELS", 5 * 49)
    monkeypatch.setattr(module, "_DECODED_PIXELS", 2 * 49)
    blocks = encode(vae, patches, core_px=3)
    np.testing.assert_allclose(blocks.z_mean, whole.z_mean, atol=1e-6)
    np.testing.assert_allclose(blocks.error_nats, whole.error_nats, rtol=1e-6)
    np.testing.assert_allclose(decode(vae, blocks), decode(vae, whole), atol=1e-6)
    found, expected = asdict(blocks.reconstruction), asdict(whole.reconstruction)
    assert found == pytest.approx(expected, rel=1e-6)


def test_encoding_needs_little_memory_beside_the_patches(
    untrained: Untrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of arrays; those of torch are blocks too, but cannot be counted here."""
    vae = untrained(size_px=20, invariances="none")
    pixels = np.random.default_rng(0).random((4000, 20, 20), dtype=np.float32)
    many = Patches(pixels=pixels, keypoint_index=np.arange(4000))
    monkeypatch.setattr(sys.modules["vaeopt.stages.vae.encode"], "_BLOCK_PIXELS", 20_000)
    tracemalloc.start()
    encode(vae, many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.nbytes / 2


# ---- purity


def test_encoding_changes_nothing(untrained: Untrained, patches: Patches) -> None:
    vae = untrained(invariances="rotation")
    weights = {name: array.copy() for name, array in vae.weights.items()}
    pixels = patches.pixels.copy()
    first, again = encode(vae, patches), encode(vae, patches)
    np.testing.assert_array_equal(first.z_mean, again.z_mean)
    np.testing.assert_array_equal(pixels, patches.pixels)
    for name, array in weights.items():
        np.testing.assert_array_equal(vae.weights[name], array)


def test_encoding_and_decoding_leave_the_global_random_state_alone(
    untrained: Untrained, patches: Patches
) -> None:
    vae = untrained(invariances="rotation")
    ours, numpys = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    decode(vae, encode(vae, patches))
    assert torch.equal(torch.get_rng_state(), ours)
    assert repr(np.random.get_state()) == numpys  # noqa: NPY002


def test_building_a_model_reseeds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int) -> None:
        raise AssertionError(f"the GPUs were seeded with {seed}")

    monkeypatch.setattr("torch.cuda.manual_seed_all", refuse)
    monkeypatch.setattr("torch.cuda.manual_seed", refuse)
    before = torch.get_rng_state()
    build(VaeSettings(width=4), 5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_derive_from_the_seed_alone() -> None:
    settings = VaeSettings(width=4)
    first = build(settings, 5, seed=3).state_dict()
    torch.rand(7)
    again, other = build(settings, 5, seed=3).state_dict(), build(settings, 5, seed=4).state_dict()
    for name, value in first.items():
        assert torch.equal(again[name], value)
        assert not torch.equal(other[name], value)


def test_a_restored_model_shares_no_memory_with_its_record(untrained: Untrained) -> None:
    vae = untrained()
    model = restore(vae)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(np.abs(array).max() > 0 for array in vae.weights.values())


# ---- pose


@pytest.mark.parametrize(
    ("invariances", "names"),
    [
        ("none", set()),
        ("rotation", {"angle_rad"}),
        ("translation", {"shift_row_px", "shift_col_px"}),
        ("scale", {"magnification"}),
        ("rotation+translation", {"angle_rad", "shift_row_px", "shift_col_px"}),
        ("rotation+scale", {"angle_rad", "magnification"}),
        (
            "rotation+translation+scale",
            {"angle_rad", "shift_row_px", "shift_col_px", "magnification"},
        ),
    ],
)
def test_codes_have_the_names_of_what_the_model_can_express(
    untrained: Untrained, patches: Patches, invariances: str, names: set[str]
) -> None:
    latents = encode(untrained(invariances=invariances), patches)
    assert set(latents.codes) == names
    assert all(values.shape == (24,) for values in latents.codes.values())


def test_shapes_of_latents(untrained: Untrained, patches: Patches) -> None:
    latents = encode(untrained(invariances="rotation+translation", latent_dim=5), patches)
    assert latents.z_mean.shape == latents.z_std.shape == (24, 5)
    assert latents.code_mean.shape == latents.code_std.shape == (24, 3)
    assert latents.latent_dim == 5
    assert len(latents) == 24
    assert latents.z_mean.dtype == latents.z_std.dtype == np.float64


def test_the_angle_is_the_code_times_its_prior(untrained: Untrained, patches: Patches) -> None:
    latents = encode(untrained(invariances="rotation", prior_sd={"rotation": 0.25}), patches)
    np.testing.assert_allclose(latents.codes["angle_rad"], 0.25 * latents.code_mean[:, 0])


def test_shifts_are_codes_times_prior_times_half_a_window(
    untrained: Untrained, patches: Patches
) -> None:
    latents = encode(untrained(invariances="translation", prior_sd={"translation": 0.2}), patches)
    down, left = -0.2 * 3 * latents.code_mean.T  # content moves against its coordinates
    np.testing.assert_allclose(latents.codes["shift_row_px"], down, atol=1e-6)
    np.testing.assert_allclose(latents.codes["shift_col_px"], -left, atol=1e-6)


def test_magnification_is_one_over_the_scale_of_coordinates(
    untrained: Untrained, patches: Patches
) -> None:
    latents = encode(untrained(invariances="scale", prior_sd={"scale": 0.2}), patches)
    expected = 1 / (1 + 0.2 * latents.code_mean[:, 0])
    np.testing.assert_allclose(latents.codes["magnification"], expected, rtol=1e-6)


def test_a_quarter_turn_of_the_code_is_one_of_the_picture(untrained: Untrained) -> None:
    vae = untrained(invariances="rotation")
    upright = decode(vae, _latents([[0.0]], [[0.3, -0.8]]))[0]
    turned = decode(vae, _latents([[math.pi / 2]], [[0.3, -0.8]]))[0]
    np.testing.assert_allclose(turned, np.rot90(upright), atol=1e-5)


def test_content_alone_is_drawn_upright_and_centred(untrained: Untrained) -> None:
    vae, content = untrained(invariances="rotation+translation"), np.array([[0.3, -0.8]])
    alone = decode(vae, content)
    np.testing.assert_array_equal(alone, decode(vae, _latents([[0.0] * 3], content)))
    np.testing.assert_array_equal(alone, decode(vae, content[0]))
    assert alone.shape == (1, 7, 7)
    assert alone.dtype == np.float32


# ---- reconstruction


def test_windows_of_another_size_are_refused(untrained: Untrained, patches: Patches) -> None:
    with pytest.raises(ValueError, match="expected windows of 9 px, got 7 px"):
        encode(untrained(size_px=9), patches)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_reconstruction_is_that_of_the_decoded_pictures(
    untrained: Untrained, patches: Patches, likelihood: str
) -> None:
    vae = untrained(invariances="rotation", likelihood=likelihood, gaussian_sd=0.3)
    latents = encode(vae, patches)
    found, drawn, x = latents.reconstruction, decode(vae, latents), patches.pixels.astype(float)
    nll = reference.nll(x, drawn, likelihood, gaussian_sd=0.3)
    floor = reference.entropy_floor(x, likelihood, gaussian_sd=0.3)
    np.testing.assert_allclose(latents.error_nats, nll.sum(axis=(1, 2)), rtol=1e-4)
    assert found.nll_nats == pytest.approx(nll.mean(), rel=1e-4)
    assert found.floor_nats == pytest.approx(floor.mean(), rel=1e-6)
    assert found.excess_nll_nats == pytest.approx(nll.mean() - floor.mean(), abs=1e-4)
    assert found.mse == pytest.approx(((x - drawn) ** 2).mean(), rel=1e-5)
    spread = ((x - x.mean(axis=0)) ** 2).sum()
    assert found.fvu == pytest.approx(((x - drawn) ** 2).sum() / spread, rel=1e-5)


@pytest.mark.parametrize(("core", "pixels"), [(3, slice(2, 5)), (4, slice(1, 5)), (7, slice(0, 7))])
def test_the_core_is_the_window_that_the_smallest_trial_sees(
    untrained: Untrained, patches: Patches, core: int, pixels: slice
) -> None:
    vae = untrained(invariances="rotation")
    latents = encode(vae, patches, core_px=core)
    x = patches.pixels[:, pixels, pixels].astype(float)
    drawn = decode(vae, latents)[:, pixels, pixels]
    expected = ((x - drawn) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    assert latents.reconstruction.fvu_core == pytest.approx(expected, rel=1e-5)
    assert latents.reconstruction.core_px == core


def test_nothing_to_explain_counts_as_unexplained(untrained: Untrained, patches: Patches) -> None:
    same = Patches(pixels=np.repeat(patches.pixels[:1], 5, axis=0), keypoint_index=np.arange(5))
    assert encode(untrained(), same).reconstruction.fvu == 1.0


def _speaking(vae: TrainedVae, logits: float) -> TrainedVae:
    """The same model, whose decoder says about ``logits`` for every pixel."""
    bias = np.full_like(vae.weights["decoder.out.bias"], logits)
    return replace(vae, weights={**vae.weights, "decoder.out.bias": bias})


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("logits", [60.0, -200.0])
def test_a_decoder_that_is_sure_and_wrong_has_a_finite_error(
    untrained: Untrained, patches: Patches, likelihood: str, logits: float
) -> None:
    """Its means round to 0 and 1, where the likelihood of a grey pixel would be 0."""
    vae = _speaking(untrained(likelihood=likelihood), logits)
    latents = encode(vae, patches)
    assert set(np.unique(np.round(decode(vae, latents)))) == {float(logits > 0)}
    assert np.isfinite(latents.error_nats).all()
    assert np.isfinite(latents.reconstruction.nll_nats)


def test_T11_reconstruction_of_four_pixels() -> None:
    """Four patches of one pixel; the last layer is solved so that they come back as in T11."""
    x, target = np.array([0, 0.25, 0.5, 1]), np.array([0.1, 0.3, 0.4, 0.9])
    settings = VaeSettings(width=64, depth=1, latent_dim=4, invariances=())
    state = build(settings, 1, seed=0).state_dict()
    weights = {name: 4 * value.numpy() for name, value in state.items()}

    def layer(name: str, values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    z = layer("encoder.mean", np.tanh(layer("encoder.hidden.0", x[:, None])))
    h, logits = np.tanh(layer("decoder.hidden.0", z)), np.log(target / (1 - target))
    solution = np.linalg.lstsq(h, logits, rcond=None)[0]
    weights["decoder.out.weight"] = solution[None].astype(np.float32)
    weights["decoder.out.bias"] = np.zeros(1, dtype=np.float32)
    vae = TrainedVae(
        config=settings.to_table(), window_px=1, weights=weights, loss_nats=np.zeros(1)
    )
    patches = Patches(pixels=x.astype(np.float32).reshape(4, 1, 1), keypoint_index=np.arange(4))
    found = encode(vae, patches).reconstruction
    assert found.nll_nats == pytest.approx(0.373195, abs=2e-6)
    assert found.excess_nll_nats == pytest.approx(0.059324, abs=2e-6)
    assert found.mse == pytest.approx(0.008125, abs=2e-6)
    assert found.fvu == pytest.approx(0.0594286, abs=1e-5)


def test_a_record_that_cannot_be_written_can_be_used(
    untrained: Untrained, patches: Patches
) -> None:
    vae = untrained()
    for array in vae.weights.values():
        array.setflags(write=False)
    assert np.isfinite(encode(vae, patches).z_mean).all()


@pytest.mark.parametrize(("large", "small"), [(8, 3), (8, 5), (9, 4), (8, 4)])
def test_the_core_of_a_large_window_is_the_small_window(
    untrained: Untrained, large: int, small: int
) -> None:
    """Seen from the error: a decoder that says 1/2 everywhere errs on the core as on the window."""
    micrograph = example_micrograph()
    points = KeyPoints(yx_px=np.random.default_rng(0).uniform(8, 50, (9, 2)), strength=np.ones(9))

    def fvu_core(size: int) -> float:
        vae = _speaking(untrained(size_px=size, invariances="none"), 0.0)
        blank = {**vae.weights, "decoder.out.weight": 0 * vae.weights["decoder.out.weight"]}
        patches = cut(PatchSettings(size_px=size), micrograph, points)
        return encode(replace(vae, weights=blank), patches, core_px=small).reconstruction.fvu_core

    assert fvu_core(large) == pytest.approx(fvu_core(small), rel=1e-9)
