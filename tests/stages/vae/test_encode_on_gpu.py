"""Encoding on a GPU: what it does without one, and with one the same numbers as on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from vaeopt.core.types import Patches, TrainedVae
from vaeopt.stages.vae import content_means, encode
from vaeopt.stages.vae.device import encoding_device
from vaeopt.stages.vae.errors import DeviceErrorSums, HostErrorSums
from vaeopt.stages.vae.model import InvariantVae
from vaeopt.stages.vae.settings import VaeSettings

Untrained = Callable[..., TrainedVae]
needs_gpu = pytest.mark.gpu
# Stands for a GPU: a torch without CUDA cannot index stand-ins of CUDA tensors.
ELSEWHERE = "meta"
LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
INVARIANCES = ["none", "rotation", "rotation+translation+scale"]


@pytest.mark.parametrize("core_px", [3, 7])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_sums_of_the_device_are_those_of_the_host(
    patches: Patches, likelihood: str, core_px: int
) -> None:
    settings = VaeSettings.model_validate({"likelihood": likelihood, "gaussian_sd": 0.3})
    host = HostErrorSums(patches.pixels, settings, core_px)
    mean = torch.from_numpy(patches.pixels.mean(axis=0, dtype=np.float64))
    device = DeviceErrorSums(mean, patches.pixels.size, settings, core_px)
    pixels = torch.tensor(patches.pixels).flatten(1)
    logits = 3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    for rows in (slice(0, 10), slice(10, 24)):
        one, two = (sums.add(pixels[rows], logits[rows]) for sums in (host, device))
        assert one.dtype == two.dtype == torch.float64
        np.testing.assert_array_equal(one, two)
    ours, expected = device.reconstruction(), host.reconstruction()
    assert ours.core_px == expected.core_px
    for name in ("nll_nats", "floor_nats", "mse", "fvu", "fvu_core"):
        assert getattr(ours, name) == pytest.approx(getattr(expected, name), rel=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("invariances", INVARIANCES)
def test_a_block_never_leaves_the_gpu(invariances: str, likelihood: str) -> None:
    """Tensors without numbers: another device or a look at a number would raise."""
    settings = VaeSettings.model_validate(
        {"invariances": invariances, "likelihood": likelihood, "width": 12}
    )
    model = InvariantVae(settings, 7)
    with FakeTensorMode(), torch.no_grad():
        x = torch.empty(24, 49, device=ELSEWHERE)
        mean_patch = torch.empty(7, 7, dtype=torch.float64, device=ELSEWHERE)
        mean, std = functional_call(model.encoder, _on_gpu(model.encoder), x)
        logits = functional_call(model.decoder, _on_gpu(model.decoder), mean)
        found = DeviceErrorSums(mean_patch, x.numel(), settings, 3).add(x, logits)
        assert {t.device.type for t in (mean, std, found)} == {ELSEWHERE}
        assert found.shape == (24,)


def _on_gpu(module: nn.Module) -> dict[str, Tensor]:
    """Stand-ins of its weights and buffers."""
    state = (*module.named_parameters(), *module.named_buffers())
    return {name: torch.empty(value.shape, device=ELSEWHERE) for name, value in state}


def test_a_model_of_a_machine_with_gpus_is_used_on_one_without(
    untrained: Untrained, patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert encoding_device("cuda:7", 10**9).type == "cpu"
    there, here = (untrained(device=device) for device in ("cuda:7", "cpu"))
    _same(encode(there, patches), encode(here, patches), rtol=0, atol=0)


def test_few_patches_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert encoding_device("auto", 1000).type == "cpu"
    assert encoding_device("cuda:0", 1000) == torch.device("cuda:0")


@needs_gpu
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("invariances", INVARIANCES)
def test_a_gpu_and_the_cpu_agree(
    untrained: Untrained, patches: Patches, invariances: str, likelihood: str
) -> None:
    table: dict[str, Any] = {"invariances": invariances, "likelihood": likelihood}
    cpu, gpu = (untrained(device=device, **table) for device in ("cpu", "cuda"))
    _same(encode(gpu, patches), encode(cpu, patches), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        content_means(gpu, patches), content_means(cpu, patches), rtol=1e-4, atol=1e-5
    )


def _same(one: Any, two: Any, *, rtol: float, atol: float) -> None:
    for name in ("z_mean", "z_std", "code_mean", "code_std", "error_nats"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(two, name), rtol=rtol, atol=atol, err_msg=name
        )
    for name in ("nll_nats", "floor_nats", "mse", "fvu", "fvu_core"):
        first, second = (getattr(latents.reconstruction, name) for latents in (one, two))
        assert first == pytest.approx(second, rel=rtol, abs=atol), name
