"""The same in one compiled pass over tiles of pixels; see ``decoder.h``."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from vaeopt.kernels.decoder.problem import Answer, Problem, is_bf16
from vaeopt.kernels.native import library

__all__ = ["bf16_pays", "evaluate", "has_bf16", "runs", "why_not"]

_LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian")
_INTEGERS = "patches pixels width depth likelihood bf16 threads gradients"
_ARRAYS = (
    "linear offset grid image weights biases out_weight out_bias nll linear_slope offset_slope "
    "weight_slopes bias_slopes out_weight_slope out_bias_slope"
)


class _Problem(ctypes.Structure):
    """``Problem`` of decoder.h: the same fields in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS.split()),
        ("gaussian_sd", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _ARRAYS.split()),
    ]


def has_bf16() -> bool:
    """Whether there is a kernel and a processor that multiplies bf16 numbers."""
    compiled = library()
    return compiled is not None and compiled.vaeopt_bf16() > 0


def bf16_pays() -> bool:
    """Whether the kernel is faster with bf16 than with float32 products."""
    compiled = library()
    return compiled is not None and compiled.vaeopt_bf16_pays() > 0


def runs(precision: str) -> bool:
    """Whether there is a kernel for float32 arrays on the CPU and this precision."""
    return has_bf16() if is_bf16(precision) else library() is not None


def why_not(problem: Problem) -> str:
    """What keeps the kernel from this problem, in a few words; empty if nothing does."""
    if any(t.device.type != "cpu" for t in problem.tensors):
        return "arrays are not on the CPU"
    if any(t.dtype != torch.float32 for t in problem.tensors):
        return "arrays are not float32"
    if library() is None:
        return "the kernel could not be compiled"
    return "" if runs(problem.precision) else "the processor has no bf16 products"


def _addresses(tensors: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def evaluate(problem: Problem, gradients: bool) -> Answer:
    """Loss of every patch, and the gradients of their sum if asked for.

    Args:
        problem: float32 arrays on the CPU; see :func:`why_not`.
        gradients: whether they are asked for.

    Raises:
        MemoryError: the tiles do not fit into memory.
    """
    compiled = library()
    assert compiled is not None
    linear, offset, grid, image = (
        t.detach().contiguous()
        for t in (problem.linear, problem.offset, problem.grid, problem.pixels)
    )
    *hidden, out_weight, out_bias = (p.detach().contiguous() for p in problem.parameters)
    nll = offset.new_zeros(len(offset))
    wanted = (linear, offset, *hidden, out_weight, out_bias)
    if len(image) == 0 or image.shape[1] == 0:
        return Answer(nll, tuple(map(torch.zeros_like, wanted)) if gradients else ())
    slopes = tuple(torch.empty_like(t) for t in wanted) if gradients else ()
    by_linear, by_offset, *by_hidden = slopes or (offset, offset)
    pointers = [
        _addresses(part)
        for part in (hidden[::2], hidden[1::2], by_hidden[:-2:2], by_hidden[1:-2:2])
    ]
    weights, biases, by_weights, by_biases = (ctypes.addressof(array) for array in pointers)
    request = _Problem(
        *(*image.shape, offset.shape[1], len(hidden) // 2),
        _LIKELIHOODS.index(problem.likelihood),
        *(is_bf16(problem.precision), problem.threads or torch.get_num_threads(), gradients),
        problem.gaussian_sd,
        *(t.data_ptr() for t in (linear, offset, grid, image)),
        *(weights, biases, out_weight.data_ptr(), out_bias.data_ptr(), nll.data_ptr()),
        *(by_linear.data_ptr(), by_offset.data_ptr(), by_weights, by_biases),
        *(t.data_ptr() for t in by_hidden[-2:] or (offset, offset)),
    )
    if compiled.vaeopt_spatial_nll(ctypes.byref(request)) != 0:
        raise MemoryError("no memory for the tiles of the spatial decoder")
    return Answer(nll, slopes)
