"""Loss and slopes of decoders that draw all pixels of a patch at once; one program per block."""

import triton
import triton.language as tl

from vaeopt.kernels.training.gpu.functions import deviation, likelihood, slope, tanh

__all__ = ["decode"]

_CODES = tl.constexpr(4)
_EXACT = tl.constexpr("tf32x3")


@triton.jit(
    do_not_specialize=["step", "n", "n_patches", "batch", "n_members", "room", "steps", "latents"]
)
def decode(
    params,
    members,
    masks,
    data,
    order,
    weights,
    noise,
    posterior,
    by_sample,
    nll,
    slopes,
    step,
    n,
    gaussian_sd,
    stride,
    COLUMNS: tl.constexpr,
    n_patches,
    batch,
    n_members,
    room,
    steps,
    slope_stride,
    WIDTH: tl.constexpr,
    WP: tl.constexpr,
    DEPTH: tl.constexpr,
    latents,
    LP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    KIND: tl.constexpr,
    SUBSETS: tl.constexpr,
    at_out,
):
    """One step of all members.

    Args:
        params: (members, stride); see ``layout.py``, vanilla.
        members: int32 (members, COLUMNS): data_start, n_pixels, .., active in column 5.
        masks: (members, latents): 1 where a latent belongs to the member, else 0.
        data: patches of all members, flat.
        order: int32 (members, n_patches), which patch comes when.
        weights: (members, steps, room), what the loss of a pixel counts in a step; if SUBSETS.
        noise: (members, n_patches, latents), standard normal, in that order.
        posterior: (2, members, batch, latents): mean, and sd before the softplus.
        by_sample: (members, batch, latents), out: slopes of the mean loss by the sample.
        nll: (members, n_patches), out [nats].
        slopes: (members, blocks, slope_stride), out: sums over the rows of a block.
        step: of the epoch.
        n: patches of this step.
        gaussian_sd: of the Gaussian likelihood.
    """
    member, block = tl.program_id(0), tl.program_id(1)
    table = members + member * COLUMNS
    if tl.load(table + 5) == 0:
        return
    data_start, n_pixels = tl.load(table), tl.load(table + 1)
    own = params + member.to(tl.int64) * stride
    part = slopes + (member * tl.num_programs(1) + block).to(tl.int64) * slope_stride
    rows = block * ROWS + tl.arange(0, ROWS)
    valid = rows < n
    both = valid[:, None]
    at = member * n_patches + step * batch + rows
    row = member * batch + rows
    units, slots = tl.arange(0, WP), tl.arange(0, LP)
    real, there = units < WIDTH, slots < latents
    content = latents - _CODES
    square = units[:, None] * WIDTH + units[None, :]
    in_square = real[:, None] & real[None, :]

    latent = both & there[None, :]
    at_slots = row[:, None] * latents + slots[None, :]
    mean = tl.load(posterior + at_slots, mask=latent, other=0.0)
    raw = tl.load(posterior + n_members * batch * latents + at_slots, mask=latent, other=0.0)
    drawn = tl.load(noise + at[:, None] * latents + slots[None, :], mask=latent, other=0.0)
    mask = tl.load(masks + member * latents + slots, mask=there, other=0.0)[None, :]
    z = tl.where(both, (mean + deviation(raw) * drawn) * mask, 0.0)

    at_first = units[:, None] * content + slots[None, :] - _CODES
    in_first = real[:, None] & (slots[None, :] >= _CODES) & (slots[None, :] < latents)
    w_first = tl.load(own + at_first, mask=in_first, other=0.0)
    biases = WIDTH * content
    b = tl.load(own + biases + units, mask=real, other=0.0)
    h0 = tanh(tl.dot(z, tl.trans(w_first), input_precision=_EXACT) + b[None, :], False)
    h = h0
    second = biases + WIDTH
    if DEPTH == 2:
        w = tl.load(own + second + square, mask=in_square, other=0.0)
        b = tl.load(own + second + WIDTH * WIDTH + units, mask=real, other=0.0)
        h = tanh(tl.dot(h0, tl.trans(w), input_precision=_EXACT) + b[None, :], False)

    index = tl.load(order + at, mask=valid, other=0)
    losses = tl.zeros((ROWS,), tl.float32)
    d = tl.zeros((ROWS, WP), tl.float32)
    for first in range(0, n_pixels, BLOCK):
        pixels = first + tl.arange(0, BLOCK)
        inside = pixels < n_pixels
        patches = data + data_start + index[:, None] * n_pixels + pixels[None, :]
        x = tl.load(patches, mask=both & inside[None, :], other=0.0)
        at_weight = at_out + pixels[:, None] * WIDTH + units[None, :]
        in_out = inside[:, None] & real[None, :]
        w_out = tl.load(own + at_weight, mask=in_out, other=0.0)
        at_bias = at_out + n_pixels * WIDTH + pixels
        b_out = tl.load(own + at_bias, mask=inside, other=0.0)
        logits = tl.dot(h, tl.trans(w_out), input_precision=_EXACT) + b_out[None, :]
        counts = (both & inside[None, :]).to(tl.float32)
        if SUBSETS:
            at_weights = (member * steps + step) * room + pixels
            counts *= tl.load(weights + at_weights, mask=inside, other=0.0)[None, :]
        losses += tl.sum(
            tl.where(counts > 0, likelihood(x, logits, KIND, gaussian_sd), 0.0) * counts, 1
        )
        by_logits = tl.where(counts > 0, slope(x, logits, KIND, gaussian_sd), 0.0) * (counts / n)
        by_out = tl.dot(tl.trans(by_logits), h, input_precision=_EXACT)
        tl.store(part + at_weight, by_out, mask=in_out)
        tl.store(part + at_bias, tl.sum(by_logits, 0), mask=inside)
        d = tl.dot(by_logits, w_out, d, input_precision=_EXACT)
    tl.store(nll + at, losses, mask=valid)

    # Addresses that are known before the loop would sit in registers all the way through it.
    again = units + tl.load(table + 5) - 1
    square = again[:, None] * WIDTH + again[None, :]
    in_square = (again[:, None] < WIDTH) & (again[None, :] < WIDTH)
    d *= 1 - h * h
    if DEPTH == 2:
        by_w = tl.dot(tl.trans(d), h0, input_precision=_EXACT)
        tl.store(part + second + square, by_w, mask=in_square)
        tl.store(part + second + WIDTH * WIDTH + units, tl.sum(d, 0), mask=real)
        w = tl.load(own + second + square, mask=in_square, other=0.0)
        d = tl.dot(d, w, input_precision=_EXACT) * (1 - h0 * h0)
    # Wide rather than tall, like all other products of rows: the compiler gives all of them the
    # same arrangement of warps, and a tall one would have each warp do the work of all others.
    by_w = tl.dot(tl.trans(z), d, input_precision=_EXACT)
    tl.store(part + at_first, tl.trans(by_w), mask=in_first)
    tl.store(part + biases + units, tl.sum(d, 0), mask=real)
    by_z = tl.dot(d, w_first, input_precision=_EXACT)
    tl.store(by_sample + at_slots, by_z, mask=latent)
