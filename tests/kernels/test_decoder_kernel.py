"""Engines of the spatial decoder's loss: all against the readable one, and against laws."""

import logging
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vaeopt.kernels import decoder
from vaeopt.kernels.decoder import SpatialNll, native, spatial_nll
from vaeopt.kernels.grid import pixel_grid
from vaeopt.kernels.native import build

LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
ENGINES = [("fast", "float32"), ("native", "float32"), ("fast", "bf16"), ("native", "bf16")]
EXACT = ENGINES[:2]
TOLERANCE = {"float32": 1e-5, "bf16": 3e-2}
SIZES = [  # patches, window, width, depth
    (5, 7, 32, 2),
    (1, 9, 16, 1),
    (3, 8, 128, 2),
    (3, 5, 12, 3),
    (3, 5, 13, 2),
    (70, 6, 16, 1),  # more rows than a tile, and a last tile that is not full
]


@dataclass(frozen=True)
class Batch:
    """A batch and a network that draws it."""

    linear: Tensor
    offset: Tensor
    hidden: list[tuple[Tensor, Tensor]]
    out: tuple[Tensor, Tensor]
    grid: Tensor
    pixels: Tensor

    @property
    def network(self) -> tuple[Tensor, ...]:
        return (self.linear, self.offset, *(t for pair in self.hidden for t in pair), *self.out)

    def rounded(self) -> "Batch":
        """The same in float32."""
        return _batch_of([t.float() for t in self.network], self.grid.float(), self.pixels.float())

    def patches(self, index: slice) -> "Batch":
        return replace(
            self,
            linear=self.linear[index],
            offset=self.offset[index],
            pixels=self.pixels[index],
        )


def _batch_of(network: list[Tensor], grid: Tensor, pixels: Tensor) -> Batch:
    linear, offset, *hidden, out_weight, out_bias = (t.detach() for t in network)
    layers = list(zip(hidden[::2], hidden[1::2], strict=True))
    return Batch(linear, offset, layers, (out_weight, out_bias), grid, pixels)


def _batch(n: int, size_px: int, width: int, depth: int, seed: int = 0) -> Batch:
    """Float64; the logits reach from -8 to 8 or so, and some pixels are black and white."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    layers = [t for _ in range(depth) for t in (normal(width, width) / width**0.5, normal(width))]
    network = [
        normal(n, width, 2),
        normal(n, width),
        *layers,
        2 * normal(1, width) / width**0.5,
        normal(1),
    ]
    pixels = (
        1.2 * torch.rand(n, size_px**2, generator=generator, dtype=torch.float64) - 0.1
    ).clamp(0, 1)
    return _batch_of(network, pixel_grid(size_px, dtype=torch.float64), pixels)


def _ask(batch: Batch, **how: Any) -> SpatialNll:
    return spatial_nll(
        batch.linear, batch.offset, batch.hidden, batch.out, batch.grid, batch.pixels, **how
    )


def _gradients(batch: Batch, **how: Any) -> tuple[SpatialNll, tuple[Tensor, ...]]:
    for t in batch.network:
        t.requires_grad_()
    found = _ask(batch, **how)
    return found, torch.autograd.grad(found.total, batch.network)


def _close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Equal to ``tolerance`` times the largest entry."""
    assert ours.shape == theirs.shape
    error = (ours.double() - theirs).abs().max().item()
    assert error <= tolerance * theirs.abs().max().item()


def _needs(engine: str, precision: str) -> None:
    if engine == "native" and not any(map(shutil.which, build._COMPILERS)):
        pytest.skip("there is no C++ compiler")
    if engine == "native" and precision == "bf16" and not native.has_bf16():
        pytest.skip("the processor has no bf16 products")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small products are slow on several; what several change is tested by itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- against the readable one


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_values_and_gradients_are_those_of_the_reference(
    engine: str, precision: str, size: tuple[int, int, int, int], likelihood: str
) -> None:
    _needs(engine, precision)
    batch = _batch(*size)
    how: Any = {"likelihood": likelihood, "gaussian_sd": 0.4}
    expected, expected_gradients = _gradients(batch, engine="reference", **how)
    found, gradients = _gradients(batch.rounded(), engine=engine, precision=precision, **how)
    assert found.total.item() == pytest.approx(expected.total.item(), rel=TOLERANCE[precision])
    _close(found.per_patch, expected.per_patch, TOLERANCE[precision])
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        _close(ours, theirs, TOLERANCE[precision])


def test_bf16_products_in_vector_registers_agree_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tile registers are preferred where there are any; 2 asks for the others."""
    _needs("native", "bf16")
    monkeypatch.setattr(native, "is_bf16", lambda precision: 2 if precision == "bf16" else 0)
    batch = _batch(5, 9, 48, 2)
    _, expected = _gradients(batch, engine="reference")
    _, found = _gradients(batch.rounded(), engine="native", precision="bf16")
    for ours, theirs in zip(found, expected, strict=True):
        _close(ours, theirs, TOLERANCE["bf16"])


def test_fast_keeps_float64() -> None:
    batch = _batch(4, 5, 16, 2)
    _, expected = _gradients(batch, engine="reference")
    _, found = _gradients(batch, engine="fast")
    for ours, theirs in zip(found, expected, strict=True):
        _close(ours, theirs, 1e-12)


@pytest.mark.parametrize(("engine", "precision"), EXACT)
@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_flat_and_saturated_networks_agree(engine: str, precision: str, scale: float) -> None:
    """Logits near 0, where a constant is 0 / 0, and beyond 30, where exponentials run over."""
    _needs(engine, precision)
    batch = _batch(3, 5, 16, 1)
    for t in batch.out:
        t *= scale
    for likelihood in LIKELIHOODS:
        expected, expected_gradients = _gradients(batch, engine="reference", likelihood=likelihood)
        found, gradients = _gradients(batch.rounded(), engine=engine, likelihood=likelihood)
        torch.testing.assert_close(
            found.per_patch.double(), expected.per_patch, rtol=1e-5, atol=25e-6
        )
        for ours, theirs in zip(gradients, expected_gradients, strict=True):
            _close(ours, theirs, 1e-4)


@pytest.mark.parametrize("engine", ["fast", "native"])
def test_arrays_need_not_lie_in_order(engine: str) -> None:
    _needs(engine, "float32")
    batch = _batch(4, 5, 16, 2).rounded()
    expected, expected_gradients = _gradients(batch, engine=engine)
    turned = _batch_of(
        [
            t.mT.contiguous().mT if t.ndim > 1 else t.repeat_interleave(2)[::2]
            for t in batch.network
        ],
        batch.grid.mT.contiguous().mT,
        batch.pixels.mT.contiguous().mT,
    )
    found, gradients = _gradients(turned, engine=engine)
    assert torch.equal(found.per_patch, expected.per_patch)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


# ---- laws


@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_a_batch_is_the_sum_of_its_patches(engine: str, precision: str) -> None:
    _needs(engine, precision)
    batch = _batch(5, 5, 16, 2).rounded()
    together, gradients = _gradients(batch, engine=engine, precision=precision)
    single = [
        _gradients(batch.patches(slice(i, i + 1)), engine=engine, precision=precision)
        for i in range(5)
    ]
    # The sums of bf16 slopes are rounded once a block by torch.
    tolerance = 1e-5 if (engine, precision) != ("fast", "bf16") else 1e-2
    values = torch.cat([found.per_patch for found, _ in single])
    _close(together.per_patch, values.double(), tolerance)
    for i, gradient in enumerate(gradients):
        parts = [found[i] for _, found in single]
        whole = torch.cat(parts) if i < 2 else torch.stack(parts).sum(0)
        _close(gradient, whole.double(), tolerance)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_threads_share_the_patches(precision: str) -> None:
    _needs("native", precision)
    batch = _batch(7, 6, 32, 2).rounded()
    alone, expected = _gradients(batch, engine="native", precision=precision)
    for threads in (2, 3, 16):
        (shared, found), (_, again) = (
            _gradients(batch, engine="native", precision=precision, threads=threads)
            for _ in range(2)
        )
        assert torch.equal(shared.per_patch, alone.per_patch)
        assert all(map(torch.equal, found, again))
        for ours, theirs in zip(found, expected, strict=True):
            _close(ours, theirs.double(), 1e-5)


@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_the_same_question_has_the_same_answer_to_the_last_bit(engine: str, precision: str) -> None:
    _needs(engine, precision)
    batch = _batch(9, 8, 32, 2).rounded()
    (first, gradients), (again, gradients_again) = (
        _gradients(batch, engine=engine, precision=precision) for _ in range(2)
    )
    assert torch.equal(first.per_patch, again.per_patch)
    assert all(map(torch.equal, gradients, gradients_again))


@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_no_patches_have_no_loss(engine: str, precision: str) -> None:
    _needs(engine, precision)
    batch = _batch(2, 5, 16, 2).rounded().patches(slice(0, 0))
    found, gradients = _gradients(batch, engine=engine, precision=precision)
    assert (found.total.item(), found.per_patch.shape) == (0.0, (0,))
    assert all(not gradient.any() for gradient in gradients)


@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_what_is_not_a_number_stays_so(engine: str, precision: str) -> None:
    """Or a training that diverges would go on unseen."""
    _needs(engine, precision)
    batch = _batch(2, 5, 16, 2).rounded()
    batch.hidden[0][0][3, 5] = torch.nan
    found, gradients = _gradients(batch, engine=engine, precision=precision)
    assert found.total.isnan()
    assert gradients[2].isnan().any()


@pytest.mark.parametrize(("engine", "precision"), [("reference", "float32"), *ENGINES])
def test_the_slope_of_the_total_is_passed_on(engine: str, precision: str) -> None:
    _needs(engine, precision)
    batch = _batch(2, 5, 16, 1).rounded()
    _, once = _gradients(batch, engine=engine, precision=precision)
    total = _ask(batch, engine=engine, precision=precision).total
    thrice = torch.autograd.grad(3 * total, batch.network)
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * a, b)


@pytest.mark.parametrize(("engine", "precision"), [("reference", "float32"), *ENGINES])
def test_the_value_alone_is_the_same(engine: str, precision: str) -> None:
    _needs(engine, precision)
    batch = _batch(3, 5, 16, 2).rounded()
    with_gradients, _ = _gradients(batch, engine=engine, precision=precision)
    assert not with_gradients.per_patch.requires_grad
    with torch.no_grad():
        alone = _ask(batch, engine=engine, precision=precision)
    assert not alone.total.requires_grad
    assert torch.equal(alone.per_patch, with_gradients.per_patch)


@pytest.mark.parametrize("engine", ["reference", "fast", "native"])
def test_shapes_that_do_not_fit_are_refused(engine: str) -> None:
    """A compiled kernel would read beyond the end of an array."""
    batch = _batch(3, 5, 16, 2).rounded()
    wrong = [
        replace(batch, linear=batch.linear[:2]),
        replace(batch, offset=batch.offset[:, :8]),
        replace(batch, hidden=[]),
        replace(batch, hidden=[(batch.hidden[0][0][:8], batch.hidden[0][1])]),
        replace(batch, out=(batch.out[0][:, :8], batch.out[1])),
        replace(batch, grid=batch.grid[:24]),
        replace(batch, pixels=batch.pixels[:, :24]),
    ]
    for mistaken in wrong:
        with pytest.raises(ValueError, match="expected arrays of shapes"):
            _ask(mistaken, engine=engine)


@pytest.mark.parametrize("engine", ["reference", "fast", "native"])
def test_one_unit_and_one_pixel_by_hand(engine: str) -> None:
    """h = tanh(.5), then tanh(2 h - .3), logit 1.5 h + .25; the pixel is .4."""
    _needs(engine, "float32")
    logit = 1.5 * math.tanh(2 * math.tanh(0.5) - 0.3) + 0.25
    mean = 1 / (1 + math.exp(-logit))
    expected = -0.4 * math.log(mean) - 0.6 * math.log(1 - mean)
    assert expected == pytest.approx(0.940750, abs=1e-6)
    found = spatial_nll(
        torch.tensor([[[0.1, -0.2]]]),
        torch.tensor([[0.2]]),  # .1 * 1 - .2 * -1 + .2 = .5
        [(torch.tensor([[2.0]]), torch.tensor([-0.3]))],
        (torch.tensor([[1.5]]), torch.tensor([0.25])),
        torch.tensor([[1.0, -1.0]]),
        torch.tensor([[0.4]]),
        engine=engine,  # type: ignore[arg-type]  # one of the names
    )
    assert found.total.item() == pytest.approx(expected, rel=1e-6)


# ---- choice of engine and precision


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered of the usual one."""
    monkeypatch.setenv("VAEOPT_CACHE_DIR", str(tmp_path / "cache"))
    decoder._say_once.cache_clear()
    build.library.cache_clear()
    yield tmp_path / "cache"
    decoder._say_once.cache_clear()
    build.library.cache_clear()


def test_without_a_compiler_torch_answers_and_the_log_says_so_once(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "")
    batch = _batch(3, 5, 16, 2).rounded()
    expected, expected_gradients = _gradients(batch, engine="fast")
    with caplog.at_level(logging.WARNING, logger="vaeopt"):
        for _ in range(2):
            found, gradients = _gradients(batch, engine="auto")
            assert torch.equal(found.total, expected.total)
            assert all(map(torch.equal, gradients, expected_gradients))
    (record,) = caplog.records
    assert "no C++ compiler" in record.getMessage()
    assert not fresh.exists()


def test_native_says_once_why_another_engine_answers(
    fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = _batch(2, 5, 16, 1)  # float64
    expected, _ = _gradients(batch, engine="fast")
    with caplog.at_level(logging.WARNING, logger="vaeopt"):
        for _ in range(2):
            found, _ = _gradients(batch, engine="native")
            assert torch.equal(found.total, expected.total)
    (record,) = caplog.records
    assert "arrays are not float32" in record.getMessage()
    assert not fresh.exists()


def test_auto_precision_is_bf16_only_where_the_kernel_is_faster_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = _batch(3, 5, 16, 2).rounded()
    for has in (False, True):
        monkeypatch.setattr(native, "bf16_pays", lambda has=has: has)
        monkeypatch.setattr(native, "why_not", lambda problem: "not in this test")
        found = _ask(batch, precision="auto")
        expected = _ask(batch, engine="fast", precision="bf16" if has else "float32")
        assert torch.equal(found.total, expected.total)


def test_the_kernel_runs_on_the_cpu_if_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for compiled, bf16 in ((False, False), (True, False), (True, True)):
        monkeypatch.setattr(native, "library", lambda compiled=compiled: compiled or None)
        monkeypatch.setattr(native, "has_bf16", lambda bf16=bf16: bf16)
        for engine in ("auto", "native"):
            assert decoder.runs_native(engine, "float32", cpu) == compiled
            assert decoder.runs_native(engine, "auto", cpu) == compiled
            assert decoder.runs_native(engine, "bf16", cpu) == bf16
        assert not decoder.runs_native("fast", "float32", cpu)
        assert not decoder.runs_native("auto", "float32", torch.device("cuda"))
