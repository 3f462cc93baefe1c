"""What the engine of torch operations does in pieces, and with what torch may not have."""

import pytest
import torch
from torch import Tensor

from vaeopt.kernels.decoder import fast, spatial_nll
from vaeopt.kernels.grid import pixel_grid

N, SIZE_PX, WIDTH = 5, 7, 13
TOLERANCE = {"float32": 1e-5, "bf16": 3e-2}


def _answer(engine: str, precision: str) -> list[Tensor]:
    """Loss of every patch, then the gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(N, WIDTH, 2), (N, WIDTH), *[(WIDTH, WIDTH), (WIDTH,)] * 2, (1, WIDTH), (1,)]
    network = [torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for shape in shapes]
    for t in network:
        t.requires_grad_()
    linear, offset, w1, b1, w2, b2, *out = network
    found = spatial_nll(
        linear,
        offset,
        [(w1, b1), (w2, b2)],
        (out[0], out[1]),
        pixel_grid(SIZE_PX),
        torch.rand(N, SIZE_PX**2, generator=generator),
        engine=engine,  # type: ignore[arg-type]  # one of the names
        precision=precision,  # type: ignore[arg-type]
    )
    return [found.per_patch, *torch.autograd.grad(found.total, network)]


def _agree(precision: str) -> None:
    expected = _answer("reference", precision)
    for ours, theirs in zip(_answer("fast", precision), expected, strict=True):
        assert (ours - theirs).abs().max() <= TOLERANCE[precision] * theirs.abs().max()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_blocks_add_up(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two, two and one patches."""
    bytes_per_number = {"float32": 4, "bf16": 2}[precision]
    two_patches = 2 * bytes_per_number * SIZE_PX**2 * WIDTH
    monkeypatch.setitem(fast._BLOCK_BYTES, "cpu", two_patches)
    _agree(precision)


def test_product_and_tanh_need_not_be_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_has_linear_tanh", lambda: False)
    _agree("bf16")
