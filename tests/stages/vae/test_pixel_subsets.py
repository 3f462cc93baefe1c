"""Steps that look at some of the pixels estimate the whole loss without bias."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.stages.vae import VaeSettings, train
from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.subset import draw_pixels


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _settings(**table: Any) -> VaeSettings:
    return VaeSettings(
        **{"width": 12, "depth": 1, "epochs": 4, "batch_size": 10, "device": "cpu", **table}
    )


def _loss_and_slopes(
    model: InvariantVae, patches: Tensor, noise: Tensor, pixels: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    loss = model.loss_sum(patches, noise, pixels=pixels)
    return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("engine", ["reference", "fast", "native"])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_subsets_that_share_out_all_pixels_have_the_whole_loss_as_their_mean(
    patches: Patches, invariances: str, engine: str
) -> None:
    model = build(_settings(invariances=invariances, engine=engine), 7, seed=0)
    x = torch.tensor(patches.pixels.reshape(len(patches), -1))
    settings = model.settings
    noise = torch.randn(len(x), settings.n_codes + settings.latent_dim, generator=_generator())
    parts = torch.split(torch.randperm(49, generator=_generator()), 7)
    whole, whole_slopes = _loss_and_slopes(model, x, noise, None)
    estimates, slopes = zip(*(_loss_and_slopes(model, x, noise, p) for p in parts), strict=True)
    assert torch.stack(estimates).std() > 1e-3 * whole  # they do look at different pixels
    torch.testing.assert_close(torch.stack(estimates).mean(), whole)
    for expected, *found in zip(whole_slopes, *slopes, strict=True):
        mean = torch.stack(found).mean(0)
        torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


def test_every_step_draws_different_pixels_and_none_twice() -> None:
    drawn = draw_pixels(50, 20, 0.3, _generator())
    assert drawn is not None
    assert [len(set(p.tolist())) for p in drawn] == [6] * 50
    assert len({tuple(p.tolist()) for p in drawn}) == 50


def test_all_pixels_are_drawn_equally_often() -> None:
    drawn = draw_pixels(4000, 20, 0.3, _generator())
    assert drawn is not None
    counts = drawn.flatten().bincount(minlength=20).numpy()
    assert np.abs(counts - 1200).max() < 5 * np.sqrt(4000 * 0.3 * 0.7)


def test_at_least_one_pixel_is_drawn() -> None:
    drawn = draw_pixels(2, 9, 1e-6, _generator())
    assert drawn is not None
    assert drawn.shape == (2, 1)


def test_all_pixels_need_no_random_numbers() -> None:
    """Trainings that look at everything do not depend on this."""
    generator = _generator()
    before = generator.get_state()
    assert draw_pixels(3, 20, 1.0, generator) is None
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("engine", ["fast", "native"])
@pytest.mark.parametrize("invariances", ["none", "rotation"])
def test_a_training_on_some_pixels_learns_all_of_them(
    patches: Patches, invariances: str, engine: str
) -> None:
    common: dict[str, Any] = {
        "invariances": invariances,
        "epochs": 60,
        "learning_rate": 1e-2,
        "engine": engine,
    }
    whole = train(_settings(**common), patches, seeds=Seeds(0, 1)).loss_nats
    some = train(_settings(pixels=0.5, **common), patches, seeds=Seeds(0, 1)).loss_nats
    assert not np.array_equal(some, whole)
    fallen = whole[:2].mean() - whole[-5:].mean()
    assert abs(some[-5:].mean() - whole[-5:].mean()) < 0.3 * fallen
