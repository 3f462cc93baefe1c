"""Stacked members in Triton's kernels learn what each would learn alone by torch operations."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")
import triton.language as tl

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.training import Recipe, gpu
from vaeopt.kernels.training.gpu import encoder, spatial, vanilla, why_not
from vaeopt.kernels.training.gpu import program as program_module
from vaeopt.kernels.training.gpu.inputs import Draw, Member
from vaeopt.kernels.training.gpu.program import Program
from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.subset import subset_size
from vaeopt.stages.vae.trainers import EagerTrainer, Job
from vaeopt.stages.vae.trainers.base import Draws
from vaeopt.stages.vae.trainers.recipes import recipe_of

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="on a GPU, the kernels are compiled: see test_gpu_trainer.py"
)
_N = 20  # in batches of 8: the last one is ragged
_CPU = torch.device("cpu")
_NOT_SPECIALIZED = {"step", "n", "n_patches", "batch", "n_members", "room", "steps", "latents"}
_NOT_SPECIALIZED |= {"blocks"}


class _Kind(NamedTuple):
    """What may differ between members."""

    invariances: str
    size_px: int
    latent_dim: int
    kl_scale: float = 0.1
    prior_sd: float = 0.5


SPATIAL = (
    _Kind("rotation+translation", 5, 2),
    _Kind("rotation", 7, 3, kl_scale=0.01),
    _Kind("rotation+translation+scale", 3, 1, prior_sd=1.5),
)
VANILLA = (_Kind("none", 5, 2), _Kind("none", 9, 3, kl_scale=0.01))


class _Side(NamedTuple):
    """The same training twice."""

    member: Member
    eager: EagerTrainer
    draws: Draws


def _sides(kinds: Sequence[_Kind], *, bf16: bool = False, **table: Any) -> list[_Side]:
    rng, found = np.random.default_rng(0), []
    for number, kind in enumerate(kinds):
        prior = dict.fromkeys(("rotation", "translation", "scale"), kind.prior_sd)
        settings = VaeSettings(
            **{
                "invariances": kind.invariances,
                "latent_dim": kind.latent_dim,
                "kl_scale": kind.kl_scale,
                "prior_sd": prior,
                "width": 16,
                "batch_size": 8,
                "device": "cpu",
                "engine": "reference",
                **table,
            }
        )
        n_pixels = kind.size_px**2
        data = torch.tensor(rng.random((_N, n_pixels), dtype=np.float32))
        seeds = Seeds(0, number)
        weights = build(settings, kind.size_px, seed=seeds.integer("vae-weights")).state_dict()
        recipe = recipe_of(settings, kind.size_px, bf16=bf16)
        member = Member(recipe, weights, data, subset_size(n_pixels, settings.pixels))
        eager = EagerTrainer(Job(settings, data, kind.size_px, (seeds,)))
        found.append(_Side(member, eager, Draws(settings, seeds)))
    return found


def _program(sides: Sequence[_Side], **words: Any) -> Program:
    return Program([side.member for side in sides], programs=3, **words)


def _drawn(sides: Sequence[_Side], members: Sequence[int]) -> dict[int, Draw]:
    epochs = {m: sides[m].draws.epoch(*sides[m].member.patches.shape) for m in members}
    return {m: Draw(epoch.order, epoch.noise, epoch.pixels) for m, epoch in epochs.items()}


def _assert_same_epochs(sides: list[_Side], *, epochs: int = 2, tolerance: float = 5e-6) -> None:
    program, every = _program(sides), range(len(sides))
    for _ in range(epochs):
        found = program.epoch(program.prepare(_drawn(sides, every)), learning_rate=1e-2)
        expected = [side.eager.epoch([0], 1e-2)[0] for side in sides]
        np.testing.assert_allclose(list(found.values()), expected, rtol=1e-5, atol=1e-4)
    for member, side in enumerate(sides):
        weights, wanted = program.weights(member), side.eager.weights(0)
        assert weights.keys() == wanted.keys()
        for name, weight in wanted.items():
            torch.testing.assert_close(weights[name], weight, atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize("kinds", [SPATIAL, VANILLA], ids=["spatial", "vanilla"])
@pytest.mark.parametrize(
    ("table", "tolerance"),
    [
        ({}, 5e-6),
        ({"depth": 1, "likelihood": "gaussian", "gaussian_sd": 0.3}, 5e-6),
        # Adam divides by the size of a slope, however small: its rounding is a step's.
        ({"likelihood": "continuous-bernoulli", "kl_estimator": "sampled"}, 1e-4),
        ({"pixels": 0.3, "depth": 1}, 5e-6),
        ({"width": 20, "depth": 1}, 5e-6),  # padded to 32
    ],
    ids=["bernoulli", "gaussian", "continuous", "pixels", "padded"],
)
def test_members_learn_what_each_learns_alone(
    kinds: tuple[_Kind, ...], table: dict[str, Any], tolerance: float
) -> None:
    _assert_same_epochs(_sides(kinds, **table), epochs=1 + (not table), tolerance=tolerance)


def test_one_member_is_shared_out_among_all_programs() -> None:
    sides = _sides([_Kind("translation", 9, 2)], depth=1)
    program = _program(sides)
    program.epoch(program.prepare(_drawn(sides, [0])), learning_rate=1e-2)
    assert program.shares.first_segment == [0, 1, 2, 3]
    items = [segment.items for segment in program.shares.segments]
    assert max(items) - min(items) <= 1
    _assert_same_epochs(_sides([_Kind("translation", 9, 2)], depth=1), epochs=1)


@pytest.mark.parametrize("kinds", [SPATIAL[:1], VANILLA[:1]], ids=["spatial", "vanilla"])
@pytest.mark.parametrize("shift", [-9.0, -30.0])
def test_posteriors_may_become_as_narrow_as_they_like(
    kinds: tuple[_Kind, ...], shift: float
) -> None:
    """1 + exp(-30) is 1 in float32: the logarithm of a sd of 0 would end the training."""
    sides = _sides([kinds[0]._replace(kl_scale=1e-3)], depth=1)
    (side,) = sides
    bias = "encoder.std.bias"
    with torch.no_grad():
        dict(side.eager._models[0].named_parameters())[bias].add_(shift)
    weights = {**side.member.weights, bias: side.member.weights[bias] + shift}
    _assert_same_epochs([side._replace(member=replace(side.member, weights=weights))])


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_bf16_products_change_little() -> None:
    sides = _sides(SPATIAL[:1], bf16=True)
    program = _program(sides)
    for _ in range(2):
        found = program.epoch(program.prepare(_drawn(sides, [0])), learning_rate=1e-2)
        expected = sides[0].eager.epoch([0], 1e-2)
        np.testing.assert_allclose(found[0], expected[0], rtol=2e-3)
        assert found[0] != pytest.approx(expected[0], rel=1e-9)  # or float32 was used


@pytest.mark.parametrize("kinds", [SPATIAL[:2], VANILLA], ids=["spatial", "vanilla"])
def test_a_member_leaves_and_the_other_goes_on(kinds: tuple[_Kind, ...]) -> None:
    sides = _sides(kinds, depth=1)
    program = _program(sides)
    for members in ([0, 1], [1], [1]):
        program.epoch(program.prepare(_drawn(sides, members)), learning_rate=1e-2)
        for member in members:
            sides[member].eager.epoch([0], 1e-2)
    for member, side in enumerate(sides):
        for name, weight in side.eager.weights(0).items():
            found = program.weights(member)[name]
            torch.testing.assert_close(found, weight, atol=5e-6, rtol=0, msg=name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, which interprets
@pytest.mark.parametrize("kinds", [SPATIAL[:2], VANILLA], ids=["spatial", "vanilla"])
def test_a_member_that_diverges_keeps_its_last_good_weights(kinds: tuple[_Kind, ...]) -> None:
    sides = _sides(kinds, depth=1)
    program = _program(sides)
    program.epoch(program.prepare(_drawn(sides, [0, 1])), learning_rate=1e-2)
    good = program.weights(0)
    draws = _drawn(sides, [0, 1])
    broken = draws[0].noise.clone()
    broken[3] = torch.inf
    draws[0] = replace(draws[0], noise=broken)
    losses = program.epoch(program.prepare(draws), learning_rate=1e-2)
    assert np.isnan(losses[0])
    assert np.isfinite(losses[1])
    for name, weight in program.weights(0).items():
        assert torch.equal(weight, good[name])
    for _ in range(2):
        expected = sides[1].eager.epoch([0], 1e-2)
    assert losses[1] == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("kinds", [SPATIAL[:2], VANILLA], ids=["spatial", "vanilla"])
def test_nothing_is_read_that_the_step_has_not_written(kinds: tuple[_Kind, ...]) -> None:
    sides, poisoned = _sides(kinds, depth=1), _sides(kinds, depth=1)
    clean, other = _program(sides), _program(poisoned)
    for scratch in other.scratch:
        scratch.fill_(torch.nan)
    draws = _drawn(sides, [0, 1])
    expected = clean.epoch(clean.prepare(draws), learning_rate=1e-2)
    assert other.epoch(other.prepare(draws), learning_rate=1e-2) == expected
    for member in (0, 1):
        found = other.weights(member)
        for name, weight in clean.weights(member).items():
            assert torch.equal(found[name], weight)


class _Launch(NamedTuple):
    kernel: str
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    """arrays by their addresses"""
    constants: dict[str, Any]
    """those that a kernel is compiled for"""


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[_Launch]:
    """Kernels are not run, but what they were asked for is written down."""
    found: list[_Launch] = []

    class Kernel:
        def __init__(self, name: str, kernel: Any) -> None:
            self.name, self.signature = name, inspect.signature(kernel.fn)

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            def launch(*arrays: Any, num_warps: int, num_stages: int = 3, **words: Any) -> None:
                bound = self.signature.bind(*arrays, **words).arguments
                constants = {"num_warps": num_warps, "num_stages": num_stages}
                arguments = {}
                for name, value in bound.items():
                    if self.signature.parameters[name].annotation is tl.constexpr:
                        constants[name] = value
                    else:
                        is_array = isinstance(value, torch.Tensor)
                        arguments[name] = f"at {value.data_ptr()}" if is_array else value
                found.append(_Launch(self.name, grid, arguments, constants))

            return launch

    for module, name in (
        (encoder, "forward"),
        (encoder, "backward"),
        (spatial, "decode"),
        (vanilla, "decode"),
        (program_module, "adam"),
    ):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, Kernel(f"{module.__name__}.{name}", kernel))
    return found


@pytest.mark.parametrize("kinds", [SPATIAL[:2], VANILLA], ids=["spatial", "vanilla"])
def test_every_epoch_launches_the_same_work_on_the_same_arrays(
    kinds: tuple[_Kind, ...], launches: list[_Launch]
) -> None:
    """A CUDA graph replays the launches of one epoch in all later ones."""
    sides = _sides(kinds, pixels=0.5)
    program, epochs = _program(sides), []
    for members, rate in (([0, 1], 1e-2), ([0, 1], 1e-3), ([1], 1e-4)):
        launches.clear()
        program.epoch(program.prepare(_drawn(sides, members)), learning_rate=rate)
        epochs.append(list(launches))
    assert epochs[0] == epochs[1] == epochs[2]
    assert len(epochs[0]) == 4 * 3  # kernels, steps


@pytest.mark.parametrize("spatial", [True, False])
def test_other_trials_need_no_other_kernels(spatial: bool, launches: list[_Launch]) -> None:
    """To compile takes longer than to train: once for all windows, latents and members."""
    one = SPATIAL[:1] if spatial else VANILLA[:1]
    other = (SPATIAL if spatial else VANILLA)[1:] + one * 3
    seen: list[dict[str, dict[str, Any]]] = []
    for kinds in (one, other):
        sides = _sides(kinds, width=20)
        program = _program(sides)
        launches.clear()
        program.epoch(program.prepare(_drawn(sides, range(len(sides)))), learning_rate=1e-2)
        seen.append({launch.kernel: launch.constants for launch in launches})
        # Triton compiles a kernel anew for numbers that 16 divides, unless it is asked not to.
        for launch in launches:
            for name, value in launch.arguments.items():
                if isinstance(value, int) and name not in _NOT_SPECIALIZED:
                    assert value % 16 == 0, (launch.kernel, name, value)
    assert seen[0] == seen[1]


def test_members_that_cannot_train_together_are_refused() -> None:
    (first,), (second,) = _sides(SPATIAL[:1]), _sides(VANILLA[:1], likelihood="gaussian")
    with pytest.raises(ValueError, match="differ in likelihood, is_spatial"):
        Program([first.member, second.member], programs=3)
    fewer = replace(first.member, patches=first.member.patches[:5])
    with pytest.raises(ValueError, match="differ in patches"):
        Program([first.member, fewer], programs=3)


def test_arrays_that_int32_cannot_count_are_refused() -> None:
    with pytest.raises(ValueError, match="2\\^31 or more of noise, losses together"):
        program_module._refuse_too_many(patches=2**31 - 1, noise=2**31, losses=2**40)


@pytest.mark.parametrize(
    ("room", "fits"),
    [
        (101_376, {(1, True)}),  # compute capability 8.6, 8.9 and 12.0
        (166_912, {(1, True)}),  # 8.0
        (232_448, {(1, True), (2, True)}),  # 9.0
    ],
)
def test_one_layer_fits_where_two_do_not(
    monkeypatch: pytest.MonkeyPatch, room: int, fits: set[tuple[int, bool]]
) -> None:
    properties = SimpleNamespace(major=8, minor=0, shared_memory_per_block_optin=room)
    monkeypatch.setattr(gpu, "interprets", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    wide = Recipe(81, 128, 2, 2, "bernoulli", 0.5, 0.1, False, 128, rotation_sd=1.0)
    found = {
        (depth, bf16)
        for depth in (1, 2)
        for bf16 in (True, False)
        if not why_not(replace(wide, depth=depth, bf16=bf16), torch.device("cuda:0"))
    }
    assert found == fits


def test_what_has_no_kernel_is_said() -> None:
    recipe = Recipe(81, 128, 2, 2, "bernoulli", 0.5, 0.1, False, 128, bf16=True, rotation_sd=1.0)
    assert why_not(recipe, _CPU) == ""
    assert "width" in why_not(replace(recipe, width=129), _CPU)
    assert "depth" in why_not(replace(recipe, depth=3), _CPU)
    assert "latent_dim" in why_not(replace(recipe, latent_dim=29), _CPU)
    assert "shared memory" in why_not(replace(recipe, bf16=False), _CPU)
    assert why_not(replace(recipe, bf16=False, rotation_sd=0.0), _CPU) == ""
