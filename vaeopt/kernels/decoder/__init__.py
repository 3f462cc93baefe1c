"""Loss of the spatial decoder: a small network that is asked at every pixel of every patch."""

import functools
import logging
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vaeopt.kernels.decoder import fast, native, reference
from vaeopt.kernels.decoder.problem import Problem, SpatialNll, as_graph

__all__ = ["EngineName", "Precision", "SpatialNll", "runs_native", "spatial_nll"]

EngineName = Literal["auto", "reference", "fast", "native", "triton"]
Precision = Literal["float32", "bf16", "auto"]
_log = logging.getLogger(__name__)


def runs_native(engine: EngineName, precision: Precision, device: torch.device) -> bool:
    """Whether the compiled kernel answers for float32 arrays on a device."""
    if engine not in ("auto", "native") or device.type != "cpu":
        return False
    return native.runs("float32" if precision == "auto" else precision)


def spatial_nll(
    linear: Tensor,
    offset: Tensor,
    hidden: Sequence[tuple[Tensor, Tensor]],
    out: tuple[Tensor, Tensor],
    grid: Tensor,
    pixels: Tensor,
    *,
    likelihood: str = "bernoulli",
    gaussian_sd: float = 0.5,
    engine: EngineName = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
) -> SpatialNll:
    """Negative log-likelihood of a batch under the spatial decoder (semantics 1.4).

    h = tanh(A g + c) at every grid point g, then tanh(W h + b) for every hidden layer, then
    one logit; its sigmoid is the mean of the pixel. Differentiable, once, by ``linear``,
    ``offset``, ``hidden`` and ``out``; ``reference`` sets no such limits.

    Args:
        linear: A, (n, width, 2), one matrix per patch.
        offset: c, (n, width).
        hidden: weight (width, width) and bias (width) of each hidden layer, at least one.
        out: weight (1, width) and bias (1) of the logit.
        grid: (pixels, 2).
        pixels: (n, pixels) in [0, 1].
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``.
        gaussian_sd: standard deviation of the Gaussian likelihood.
        engine: ``reference``: readable torch; ``fast``: torch operations on blocks of patches;
            ``native``: a compiled kernel for float32 arrays on the CPU, and ``fast``, said once
            in the log, where it cannot run; ``auto``: the fastest that can; ``triton``, which
            trains whole epochs and has no loss of its own: the same.
        precision: numbers that products are taken of: ``float32`` (the arrays' own), ``bf16``
            (sums stay float32), or ``auto``: bf16 where the compiled kernel is faster with
            it. ``reference`` always uses the arrays' own.
        threads: of the compiled kernel; as many as torch has if left out.

    Returns:
        Total and parts [nats].

    Raises:
        ValueError: shapes that do not fit together.
    """
    if precision == "auto":
        precision = "bf16" if engine in ("auto", "native") and native.bf16_pays() else "float32"
    parameters = tuple(t for layer in (*hidden, out) for t in layer)
    problem = Problem(
        linear, offset, parameters, grid, pixels, likelihood, gaussian_sd, precision, threads
    )
    if engine == "reference":
        return reference.spatial_nll(problem)
    if engine == "fast":
        return as_graph(fast.evaluate, problem)
    obstacle = native.why_not(problem)
    if obstacle and engine == "native":
        _say_once(obstacle)
    return as_graph(fast.evaluate if obstacle else native.evaluate, problem)


@functools.cache
def _say_once(obstacle: str) -> None:
    _log.warning("engine 'native' cannot run, 'fast' does: %s", obstacle)
