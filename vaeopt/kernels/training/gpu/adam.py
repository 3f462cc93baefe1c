"""Sums of the parts of all slopes, and the step of Adam, in one launch."""

import triton
import triton.language as tl

__all__ = ["adam"]


@triton.jit
def _sum(parts, first, count, size, at, inside, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """Over ``count`` rows of parts, (BLOCK)."""
    total = tl.zeros((PARTS, BLOCK), tl.float32)
    for start in range(0, count, PARTS):
        row = start + tl.arange(0, PARTS)
        address = parts + (first + row).to(tl.int64)[:, None] * size + at[None, :]
        total += tl.load(address, mask=(row < count)[:, None] & inside[None, :], other=0.0)
    return tl.sum(total, 0)


@triton.jit(do_not_specialize=["step", "blocks"])
def adam(
    params,
    first_moments,
    second_moments,
    members,
    rates,
    pixel_slopes,
    row_slopes,
    step,
    stride,
    COLUMNS: tl.constexpr,
    n_pixel_slopes,
    row_stride,
    blocks,
    SPATIAL: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Move the parameters of all members.

    Args:
        params: (members, stride), in and out.
        first_moments: the same, of Adam.
        second_moments: the same.
        members: int32 (members, COLUMNS): .., active in column 5, first slot 6, slots 7, size 8.
        rates: (steps, 2): learning rate / (1 - b1^t), 1 / sqrt(1 - b2^t).
        pixel_slopes: (slots, n_pixel_slopes), parts of the slopes of the first n_pixel_slopes
            parameters.
        row_slopes: (members, blocks, row_stride), parts of those of the others.
        step: of the epoch.
    """
    member = tl.program_id(0)
    table = members + member * COLUMNS
    if tl.load(table + 5) == 0:
        return
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = at < tl.load(table + 8)
    by_row = at - n_pixel_slopes
    inside = valid & (by_row >= 0)
    slope = _sum(row_slopes, member * blocks, blocks, row_stride, by_row, inside, PARTS, BLOCK)
    if SPATIAL:
        first, count = tl.load(table + 6), tl.load(table + 7)
        inside = valid & (at < n_pixel_slopes)
        slope += _sum(pixel_slopes, first, count, n_pixel_slopes, at, inside, PARTS, BLOCK)
    address = member.to(tl.int64) * stride + at
    m = tl.load(first_moments + address, mask=valid, other=0.0)
    v = tl.load(second_moments + address, mask=valid, other=0.0)
    m += (slope - m) * (1 - 0.9)
    v += (slope * slope - v) * (1 - 0.999)
    tl.store(first_moments + address, m, mask=valid)
    tl.store(second_moments + address, v, mask=valid)
    rate, correction = tl.load(rates + 2 * step), tl.load(rates + 2 * step + 1)
    value = tl.load(params + address, mask=valid, other=0.0)
    value -= rate * m / (tl.sqrt(v) * correction + 1e-8)
    tl.store(params + address, value, mask=valid)
