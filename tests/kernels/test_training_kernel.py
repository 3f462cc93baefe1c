"""Compiled training steps against the readable loss, torch's gradients and torch's Adam."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor

from vaeopt.kernels import training
from vaeopt.kernels.decoder import native
from vaeopt.kernels.native import build as native_build
from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.settings import VaeSettings

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, native_build._COMPILERS)), reason="there is no C++ compiler"
)

MODELS: dict[str, dict[str, Any]] = {
    "vanilla": {"invariances": "none"},
    "vanilla-deep": {"invariances": "none", "width": 20, "depth": 3, "latent_dim": 5},
    "rotation": {"invariances": "rotation"},
    "translation": {"invariances": "translation", "prior_sd": {"translation": 0.3}},
    "scale": {"invariances": "scale", "prior_sd": {"scale": 0.4}},
    "all": {"invariances": "rotation+translation+scale", "prior_sd": {"rotation": 0.7}},
    "narrow": {"invariances": "rotation+translation", "width": 20, "depth": 1, "latent_dim": 3},
    "gaussian": {"invariances": "rotation", "likelihood": "gaussian", "gaussian_sd": 0.3},
    "gaussian-vanilla": {"invariances": "none", "likelihood": "gaussian"},
    "continuous": {"invariances": "scale", "likelihood": "continuous-bernoulli"},
    "continuous-vanilla": {"invariances": "none", "likelihood": "continuous-bernoulli"},
    "sampled-kl": {"invariances": "rotation", "kl_estimator": "sampled", "kl_scale": 0.1},
    "heavy-kl": {"invariances": "none", "kl_scale": 0.5},
}


def _settings(name: str, **changes: Any) -> VaeSettings:
    return VaeSettings(**{"width": 32, "batch_size": 16, **MODELS[name], **changes})


def _recipe(model: InvariantVae, *, bf16: bool = False) -> training.Recipe:
    s = model.settings
    sd = {name: s.prior_sd.by_kind()[name] for name in s.invariances}
    return training.Recipe(
        n_pixels=model.size_px**2,
        width=s.width,
        depth=s.depth,
        latent_dim=s.latent_dim,
        likelihood=s.likelihood,
        gaussian_sd=s.gaussian_sd,
        kl_weight=s.kl_scale * model.size_px**2,
        kl_sampled=s.kl_estimator == "sampled",
        batch_size=s.batch_size,
        bf16=bf16,
        rotation_sd=sd.get("rotation", 0.0),
        translation_sd=sd.get("translation", 0.0),
        scale_sd=sd.get("scale", 0.0),
        grid=getattr(model.decoder, "grid", torch.empty(0, 2)),
    )


class _Case:
    """A model, patches, and the numbers of an epoch."""

    def __init__(self, settings: VaeSettings, *, n: int, size_px: int = 5, bf16: bool = False):
        generator = torch.Generator().manual_seed(5)
        self.model = build(settings, size_px, seed=1)
        self.recipe = _recipe(self.model, bf16=bf16)
        self.image = torch.rand(n, size_px**2, generator=generator)
        self.order = torch.randperm(n, generator=generator)
        self.noise = torch.randn(n, self.recipe.n_latents, generator=generator)
        self.pixels: Tensor | None = None

    def member(self) -> training.Member:
        return training.Member(self.recipe, self.model.state_dict())

    def train(self, *members: training.Member, threads: int = 1) -> list[float]:
        k = len(members)
        return training.train(
            self.recipe,
            members,
            self.image,
            [self.order] * k,
            [self.noise] * k,
            [self.pixels] * k,
            learning_rate=1e-3,
            threads=threads,
        )


def _same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    """Equal to ``tolerance`` times the largest entry of each array."""
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        error = (ours[name].double() - expected.double()).abs().max().item()
        assert error <= tolerance * expected.abs().max().item() + 1e-9, name


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_the_readable_loss(name: str, threads: int) -> None:
    case = _Case(_settings(name), n=13)
    member = case.member()
    (loss,) = case.train(member, threads=threads)
    exact = case.model.double()
    expected = exact.loss(case.image[case.order].double(), case.noise.double()).sum()
    (expected / 13).backward()  # type: ignore[no-untyped-call]  # torch's stub
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    # After the first step, Adam's running mean is a tenth of the gradient.
    slopes = {n: p.grad * 0.1 for n, p in exact.named_parameters() if p.grad is not None}
    _same(member.first_moments(), slopes, 2e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["vanilla", "all", "continuous-vanilla", "gaussian"])
def test_a_step_may_look_at_some_of_the_pixels(name: str, threads: int) -> None:
    case = _Case(_settings(name), n=13)
    case.pixels = torch.tensor([[3, 17, 24, 0, 11, 8, 20]])
    member = case.member()
    (loss,) = case.train(member, threads=threads)
    model = case.model
    patches = case.image[case.order]
    expected = model.loss_sum(patches, case.noise, pixels=case.pixels[0])
    (expected / 13).backward()  # type: ignore[no-untyped-call]  # torch's stub
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    slopes = {n: p.grad * 0.1 for n, p in model.named_parameters() if p.grad is not None}
    _same(member.first_moments(), slopes, 5e-5)


def test_every_step_has_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    case = _Case(_settings("all", batch_size=4), n=10)
    case.pixels = torch.stack([torch.randperm(25)[:6] for _ in range(3)])
    whole, cut, other = case.member(), case.member(), case.member()
    (expected,) = case.train(whole)
    monkeypatch.setattr("vaeopt.kernels.training.native._CHUNK_BATCHES", 2)
    assert case.train(cut) == [pytest.approx(expected, rel=1e-12)]
    assert torch.equal(cut.state, whole.state)
    case.pixels = case.pixels.flip(0).contiguous()
    assert case.train(other) != [pytest.approx(expected, rel=1e-6)]


def test_bf16_pays_only_where_there_is_some() -> None:
    assert native.has_bf16() or not native.bf16_pays()


@pytest.mark.parametrize("name", ["rotation", "all", "narrow", "vanilla", "vanilla-deep"])
def test_bf16_products_change_gradients_by_a_few_percent(name: str) -> None:
    if not native.has_bf16():
        pytest.skip("the processor has no bf16 products")
    exact, rounded = _Case(_settings(name), n=16), _Case(_settings(name), n=16, bf16=True)
    one, two = exact.member(), rounded.member()
    (loss,), (other,) = exact.train(one), rounded.train(two)
    assert loss != other
    assert other == pytest.approx(loss, rel=2e-3)
    _same(two.first_moments(), one.first_moments(), 0.1)


@pytest.mark.parametrize("name", ["vanilla", "all"])
def test_weights_follow_those_of_torch(name: str) -> None:
    case = _Case(_settings(name), n=39)  # two batches and a ragged one
    member, model = case.member(), case.model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        case.train(member, threads=2)
        for rows in torch.split(torch.arange(39), 16):
            loss = model.loss(case.image[case.order[rows]], case.noise[rows]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
            optimizer.step()
    assert member.steps == 12
    for mine, theirs in zip(member.weights().values(), model.parameters(), strict=True):
        # Adam divides small slopes by themselves: single weights may differ by a part of a step.
        assert (mine - theirs).abs().mean().item() < 2e-6
        assert (mine - theirs).abs().max().item() < 1e-3


@pytest.mark.parametrize("name", ["vanilla", "all"])
def test_a_member_is_trained_as_if_it_were_alone(name: str) -> None:
    case = _Case(_settings(name), n=20)
    alone, *together = (case.member() for _ in range(4))
    together[1] = training.Member(
        case.recipe, build(case.model.settings, 5, seed=9).state_dict()
    )  # another beside them
    expected = case.train(alone)
    losses = case.train(*together, threads=3)
    assert [losses[0], losses[2]] == expected * 2
    assert losses[1] != losses[0]
    assert torch.equal(together[0].state, alone.state)
    assert torch.equal(together[2].state, alone.state)
    assert not torch.equal(together[1].state, alone.state)


@pytest.mark.parametrize("name", ["vanilla-deep", "narrow"])
def test_padding_stays_zero(name: str) -> None:
    case = _Case(_settings(name), n=20)
    member = case.member()
    for _ in range(3):
        case.train(member, threads=2)
    again = training.Member(case.recipe, member.weights())
    assert torch.equal(again.state[0], member.state[0])


def test_more_threads_than_patches() -> None:
    case = _Case(_settings("rotation"), n=2)
    one, many = case.member(), case.member()
    assert case.train(many, threads=8) == pytest.approx(case.train(one), rel=1e-6)
    _same(many.first_moments(), one.first_moments(), 2e-5)


def test_weights_come_back_as_they_went_in() -> None:
    case = _Case(_settings("all", width=24), n=3)
    for name, value in case.member().weights().items():
        assert torch.equal(value, case.model.state_dict()[name])


@pytest.mark.parametrize("name", ["vanilla", "rotation"])
def test_a_pixel_that_is_no_number_is_seen(name: str) -> None:
    case = _Case(_settings(name), n=5)
    case.image[3, 7] = float("nan")
    member = case.member()
    (loss,) = case.train(member)
    assert loss != loss
    assert not bool(torch.isfinite(member.weights()["encoder.mean.weight"]).all())


def test_long_epochs_are_cut_into_calls_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    case = _Case(_settings("vanilla", batch_size=4), n=30)
    whole, cut = case.member(), case.member()
    expected = case.train(whole)
    monkeypatch.setattr("vaeopt.kernels.training.native._CHUNK_BATCHES", 2)
    assert case.train(cut) == pytest.approx(expected, rel=1e-12)
    assert torch.equal(cut.state, whole.state)


@pytest.mark.parametrize("wrong", ["order", "noise", "image", "rows", "grid", "pixels", "steps"])
def test_arrays_that_do_not_fit_are_refused(wrong: str) -> None:
    case = _Case(_settings("rotation"), n=6)
    member = case.member()
    if wrong == "order":
        case.order = case.order.int()
    elif wrong == "noise":
        case.noise = case.noise[:, :1].contiguous()
    elif wrong == "image":
        case.image = case.image[:, :-1]
    elif wrong == "rows":
        case.order = case.order + 1
    elif wrong == "pixels":
        case.pixels = torch.tensor([[3, 25]])
    elif wrong == "steps":
        case.pixels = torch.zeros(2, 3, dtype=torch.int64)
    else:
        object.__setattr__(case.recipe, "grid", case.recipe.grid[:-1])
    with pytest.raises(ValueError, match="expected"):
        case.train(member)


def test_a_batch_larger_than_the_data_needs_memory_for_the_data_only() -> None:
    case, exact = _Case(_settings("all", batch_size=10**12), n=5), _Case(_settings("all"), n=5)
    member, expected = case.member(), exact.member()
    assert case.train(member, threads=2) == exact.train(expected, threads=2)
    assert torch.equal(member.state, expected.state)


def test_a_prior_too_narrow_for_float32_still_has_its_code() -> None:
    narrow, still = (
        _Case(_settings("all", prior_sd={"rotation": sd}), n=13) for sd in (1e-60, 1e-30)
    )
    one, two = narrow.member(), still.member()
    assert narrow.train(one) == still.train(two)
    _same(one.first_moments(), two.first_moments(), 1e-6)
