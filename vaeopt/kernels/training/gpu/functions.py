"""What several kernels compute, element by element."""

import triton
import triton.language as tl

__all__ = ["deviation", "likelihood", "slope", "softplus", "tanh"]

_BERNOULLI = tl.constexpr(0)
_CONTINUOUS_BERNOULLI = tl.constexpr(1)
_HALF_LOG_TWO_PI = tl.constexpr(0.9189385332046727)


@triton.jit
def tanh(x, APPROXIMATE: tl.constexpr):
    """To float32 rounding of 1, or to 5e-4 in one instruction of the GPU."""
    if APPROXIMATE:
        return tl.inline_asm_elementwise(
            "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return 1 - 2 / (tl.exp(2 * x) + 1)


@triton.jit
def softplus(x):
    """log(1 + exp(x)) without overflow; to float32 rounding of 1."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def deviation(x):
    """The same to float32 rounding of itself: it is above 0 however small, and has a logarithm."""
    e = tl.exp(-tl.abs(x))
    small = e * (1 - e * (0.5 - e / 3))
    return tl.maximum(x, 0.0) + tl.where(e < 1e-2, small, tl.log(1 + e))


@triton.jit
def likelihood(x, logits, KIND: tl.constexpr, gaussian_sd):
    """Negative log-likelihood of a pixel x whose mean is sigmoid(logits) [nats]."""
    if KIND == _BERNOULLI:
        return softplus(logits) - x * logits
    if KIND == _CONTINUOUS_BERNOULLI:
        near = tl.abs(logits) < 2e-2
        safe = tl.abs(tl.where(near, 1.0, logits))
        # log(l / tanh(l / 2)), and tanh(l / 2) = (1 - e) / (1 + e) with e = exp(-l).
        e = tl.exp(-safe)
        constant = tl.log(safe * (1 + e) / (1 - e))
        series = 0.6931471805599453 + logits * logits / 12
        return softplus(logits) - x * logits - tl.where(near, series, constant)
    residual = (x - tl.sigmoid(logits)) / gaussian_sd
    return residual * residual / 2 + tl.log(gaussian_sd) + _HALF_LOG_TWO_PI


@triton.jit
def slope(x, logits, KIND: tl.constexpr, gaussian_sd):
    """Of :func:`likelihood` by the logits."""
    mean = tl.sigmoid(logits)
    if KIND == _BERNOULLI:
        return mean - x
    if KIND == _CONTINUOUS_BERNOULLI:
        near = tl.abs(logits) < 2e-2
        safe = tl.where(near, 1.0, logits)
        size = tl.abs(safe)
        e = tl.exp(-size)
        # 1 / l - 1 / sinh(l), which is odd.
        constant = 1 / size - 2 * e / (1 - e * e)
        series = logits / 6 - 7 * logits * logits * logits / 360
        return mean - x - tl.where(near, series, tl.where(safe < 0, -constant, constant))
    return (mean - x) / (gaussian_sd * gaussian_sd) * mean * tl.sigmoid(-logits)
