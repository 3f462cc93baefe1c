"""Patches to posteriors and poses, and the slopes on the way back; a program for each block."""

import triton
import triton.language as tl

from vaeopt.kernels.training.gpu.functions import deviation, tanh

__all__ = ["backward", "forward"]

_CODES = tl.constexpr(4)  # rotation, two of translation, scale; content follows
_EXACT = tl.constexpr("tf32x3")  # products as precise as float32


@triton.jit
def _layer(weights, biases, x, WIDTH: tl.constexpr, WP: tl.constexpr):
    """tanh(x W' + b), (rows, WP)."""
    units = tl.arange(0, WP)
    real = units < WIDTH
    at = units[:, None] * WIDTH + units[None, :]
    w = tl.load(weights + at, mask=real[:, None] & real[None, :], other=0.0)
    b = tl.load(biases + units, mask=real, other=0.0)
    return tanh(tl.dot(x, tl.trans(w), input_precision=_EXACT) + b[None, :], False)


@triton.jit
def _heads(weights, latents, LP: tl.constexpr, WIDTH: tl.constexpr, WP: tl.constexpr):
    """Weights (LP, WP) and bias (LP) of a head."""
    slots, units = tl.arange(0, LP), tl.arange(0, WP)
    inside = (slots[:, None] < latents) & (units[None, :] < WIDTH)
    w = tl.load(weights + slots[:, None] * WIDTH + units[None, :], mask=inside, other=0.0)
    b = tl.load(weights + latents * WIDTH + slots, mask=slots < latents, other=0.0)
    return w, b


@triton.jit
def _slot(z, NUMBER: tl.constexpr, LP: tl.constexpr):
    """One column of z, (rows)."""
    return tl.sum(tl.where(tl.arange(0, LP)[None, :] == NUMBER, z, 0.0), 1)


@triton.jit
def _map(z, amounts, LP: tl.constexpr):
    """cos, sin, scale and shifts of the coordinates that the codes stand for."""
    angle = _slot(z, 0, LP) * tl.load(amounts + 4)
    t_0 = _slot(z, 1, LP) * tl.load(amounts + 5)
    t_1 = _slot(z, 2, LP) * tl.load(amounts + 5)
    scale = 1 + _slot(z, 3, LP) * tl.load(amounts + 6)
    return tl.cos(angle), tl.sin(angle), scale, t_0, t_1


@triton.jit
def _first_layer(own, n_content, LP: tl.constexpr, WIDTH: tl.constexpr, WP: tl.constexpr):
    """Of the spatial decoder: weights of both coordinates (WP), of the content (LP, WP)."""
    units, slots = tl.arange(0, WP), tl.arange(0, LP)
    real = units < WIDTH
    w_x = tl.load(own + 2 * units, mask=real, other=0.0)
    w_y = tl.load(own + 2 * units + 1, mask=real, other=0.0)
    content = own + 3 * WIDTH + units[None, :] * n_content + slots[:, None] - _CODES
    wanted = (slots[:, None] >= _CODES) & (slots[:, None] < n_content + _CODES) & real[None, :]
    w_z = tl.load(content, mask=wanted, other=0.0)
    return w_x, w_y, w_z


@triton.jit(do_not_specialize=["step", "n", "n_patches", "batch", "n_members", "latents"])
def forward(
    params,
    members,
    amounts,
    masks,
    data,
    order,
    noise,
    hidden,
    posterior,
    pose,
    kl,
    step,
    n,
    stride,
    COLUMNS: tl.constexpr,
    n_patches,
    batch,
    n_members,
    WIDTH: tl.constexpr,
    WP: tl.constexpr,
    DEPTH: tl.constexpr,
    latents,
    LP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    SPATIAL: tl.constexpr,
    KL_SAMPLED: tl.constexpr,
    at_first,
    at_heads,
    at_hidden,
    at_input,
):
    """Encoder and, of spatial members, pose of the decoder's first layer.

    Args:
        params: (members, stride); see ``layout.py``.
        members: int32 (members, COLUMNS): data_start, n_pixels, .., active in column 5.
        amounts: (members, 8): KL weight, .., prior sd of rotation, translation, scale from 4.
        masks: (members, latents): 1 where a latent belongs to the member, else 0.
        data: patches of all members, flat.
        order: int32 (members, n_patches), which patch comes when.
        noise: (members, n_patches, latents), standard normal, in that order.
        hidden: (DEPTH, members, batch, WP), out.
        posterior: (2, members, batch, latents), out: mean, and sd before the softplus.
        pose: (members, batch, 4, WP), out: A_0, A_1, c of each patch; row 3 is never read.
        kl: (members, n_patches), out: weighted KL of each patch [nats].
        step: of the epoch.
        n: patches of this step.
    """
    member, block = tl.program_id(0), tl.program_id(1)
    table = members + member * COLUMNS
    if tl.load(table + 5) == 0:
        return
    data_start, n_pixels = tl.load(table), tl.load(table + 1)
    own = params + member.to(tl.int64) * stride
    rows = block * ROWS + tl.arange(0, ROWS)
    valid = rows < n
    at = member * n_patches + step * batch + rows
    index = tl.load(order + at, mask=valid, other=0)
    units, slots = tl.arange(0, WP), tl.arange(0, LP)
    real, there = units < WIDTH, slots < latents

    h = tl.zeros((ROWS, WP), tl.float32)
    for first in range(0, n_pixels, BLOCK):
        pixels = first + tl.arange(0, BLOCK)
        inside = pixels < n_pixels
        patches = data + data_start + index[:, None] * n_pixels + pixels[None, :]
        x = tl.load(patches, mask=valid[:, None] & inside[None, :], other=0.0)
        weights = own + at_input + units[:, None] * n_pixels + pixels[None, :]
        w = tl.load(weights, mask=real[:, None] & inside[None, :], other=0.0)
        h = tl.dot(x, tl.trans(w), h, input_precision=_EXACT)
    biases = own + at_hidden
    h = tanh(h + tl.load(biases + units, mask=real, other=0.0)[None, :], False)
    latent = valid[:, None] & there[None, :]
    row = member * batch + rows
    at_units = row[:, None] * WP + units[None, :]
    tl.store(hidden + at_units, h, mask=rows[:, None] < batch)
    if DEPTH == 2:
        h = _layer(biases + WIDTH, biases + WIDTH + WIDTH * WIDTH, h, WIDTH, WP)
        tl.store(hidden + n_members * batch * WP + at_units, h, mask=rows[:, None] < batch)

    w_mean, b_mean = _heads(own + at_heads, latents, LP, WIDTH, WP)
    w_std, b_std = _heads(own + at_heads + latents * (WIDTH + 1), latents, LP, WIDTH, WP)
    mean = tl.dot(h, tl.trans(w_mean), input_precision=_EXACT) + b_mean[None, :]
    raw = tl.dot(h, tl.trans(w_std), input_precision=_EXACT) + b_std[None, :]
    at_slots = row[:, None] * latents + slots[None, :]
    in_batch = rows[:, None] < batch
    tl.store(posterior + at_slots, mean, mask=latent)
    tl.store(posterior + n_members * batch * latents + at_slots, raw, mask=latent)
    std = deviation(raw)
    mask = tl.load(masks + member * latents + slots, mask=there, other=0.0)[None, :]
    drawn = tl.load(noise + at[:, None] * latents + slots[None, :], mask=latent, other=0.0)
    z = (mean + std * drawn) * mask
    if KL_SAMPLED:
        divergence = (z * z - drawn * drawn) / 2 - tl.log(std)
    else:
        divergence = (mean * mean + std * std - 1) / 2 - tl.log(std)
    own_amounts = amounts + member * 8
    penalty = tl.load(own_amounts) * tl.sum(divergence * mask, 1)
    tl.store(kl + at, penalty, mask=valid)

    if SPATIAL:
        w_x, w_y, w_z = _first_layer(own + at_first, latents - _CODES, LP, WIDTH, WP)
        cos, sin, scale, t_0, t_1 = _map(z, own_amounts, LP)
        a_0 = (scale * cos)[:, None] * w_x[None, :] + (scale * sin)[:, None] * w_y[None, :]
        a_1 = (scale * cos)[:, None] * w_y[None, :] - (scale * sin)[:, None] * w_x[None, :]
        bias = tl.load(own + at_first + 2 * WIDTH + units, mask=real, other=0.0)
        c = tl.dot(z, w_z, input_precision=_EXACT) + bias[None, :]
        c += t_0[:, None] * w_x[None, :] + t_1[:, None] * w_y[None, :]
        at_pose = row[:, None] * (4 * WP) + units[None, :]
        tl.store(pose + at_pose, a_0, mask=in_batch)
        tl.store(pose + at_pose + WP, a_1, mask=in_batch)
        tl.store(pose + at_pose + 2 * WP, c, mask=in_batch)


@triton.jit
def _store_heads(
    slopes,
    by_w,
    by_b,
    latents,
    LP: tl.constexpr,
    WIDTH: tl.constexpr,
    WP: tl.constexpr,
):
    slots, units = tl.arange(0, LP), tl.arange(0, WP)
    inside = (slots[:, None] < latents) & (units[None, :] < WIDTH)
    tl.store(slopes + slots[:, None] * WIDTH + units[None, :], by_w, mask=inside)
    tl.store(slopes + latents * WIDTH + slots, by_b, mask=slots < latents)


@triton.jit(do_not_specialize=["step", "n", "n_patches", "batch", "n_members", "latents"])
def backward(
    params,
    members,
    amounts,
    masks,
    data,
    order,
    noise,
    hidden,
    posterior,
    by_pose,
    by_sample,
    slopes,
    step,
    n,
    stride,
    COLUMNS: tl.constexpr,
    n_patches,
    batch,
    n_members,
    slope_stride,
    skipped,
    WIDTH: tl.constexpr,
    WP: tl.constexpr,
    DEPTH: tl.constexpr,
    latents,
    LP: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    SPATIAL: tl.constexpr,
    KL_SAMPLED: tl.constexpr,
    at_first,
    at_heads,
    at_hidden,
    at_input,
):
    """Slopes of the encoder and of the first layer of spatial decoders.

    Args:
        by_pose: (splits, members, batch, 4, WP), parts of the slopes by the pose; if SPATIAL.
        by_sample: (members, batch, latents), slopes by the sample; if not SPATIAL.
        slopes: (members, blocks, slope_stride), out: sums over the rows of a block. The first of
            them belongs to parameter number ``skipped``.

    All others as in :func:`forward`, which has filled in ``hidden`` and ``posterior``.
    """
    member, block = tl.program_id(0), tl.program_id(1)
    table = members + member * COLUMNS
    if tl.load(table + 5) == 0:
        return
    data_start, n_pixels, splits = tl.load(table), tl.load(table + 1), tl.load(table + 4)
    own = params + member.to(tl.int64) * stride
    part = slopes + (member * tl.num_programs(1) + block).to(tl.int64) * slope_stride - skipped
    rows = block * ROWS + tl.arange(0, ROWS)
    valid = rows < n
    at = member * n_patches + step * batch + rows
    row = member * batch + rows
    units, slots = tl.arange(0, WP), tl.arange(0, LP)
    real, there = units < WIDTH, slots < latents
    at_slots = row[:, None] * latents + slots[None, :]
    at_units = row[:, None] * WP + units[None, :]
    both = valid[:, None]
    latent = both & there[None, :]

    mean = tl.load(posterior + at_slots, mask=latent, other=0.0)
    raw = tl.load(posterior + n_members * batch * latents + at_slots, mask=latent, other=0.0)
    drawn = tl.load(noise + at[:, None] * latents + slots[None, :], mask=latent, other=0.0)
    mask = tl.load(masks + member * latents + slots, mask=there, other=0.0)[None, :]
    own_amounts = amounts + member * 8
    std = deviation(raw)
    z = tl.where(both, (mean + std * drawn) * mask, 0.0)

    if SPATIAL:
        by_a0 = tl.zeros((ROWS, WP), tl.float32)
        by_a1 = tl.zeros((ROWS, WP), tl.float32)
        by_c = tl.zeros((ROWS, WP), tl.float32)
        for split in range(splits):
            first = (split * n_members + member) * batch + rows
            parts = by_pose + first.to(tl.int64)[:, None] * (4 * WP) + units[None, :]
            by_a0 += tl.load(parts, mask=both, other=0.0)
            by_a1 += tl.load(parts + WP, mask=both, other=0.0)
            by_c += tl.load(parts + 2 * WP, mask=both, other=0.0)
        w_x, w_y, w_z = _first_layer(own + at_first, latents - _CODES, LP, WIDTH, WP)
        cos, sin, scale, t_0, t_1 = _map(z, own_amounts, LP)
        # A_0 = s (cos w_x + sin w_y), A_1 = s (cos w_y - sin w_x), c = t_0 w_x + t_1 w_y + ...
        x_0, y_0 = tl.sum(by_a0 * w_x[None, :], 1), tl.sum(by_a0 * w_y[None, :], 1)
        x_1, y_1 = tl.sum(by_a1 * w_x[None, :], 1), tl.sum(by_a1 * w_y[None, :], 1)
        by_cos, by_sin = x_0 + y_1, y_0 - x_1
        by_angle = scale * (by_sin * cos - by_cos * sin) * tl.load(own_amounts + 4)
        by_t0 = tl.sum(by_c * w_x[None, :], 1) * tl.load(own_amounts + 5)
        by_t1 = tl.sum(by_c * w_y[None, :], 1) * tl.load(own_amounts + 5)
        by_scale = (cos * by_cos + sin * by_sin) * tl.load(own_amounts + 6)
        by_z = tl.dot(by_c, tl.trans(w_z), input_precision=_EXACT)
        by_z += tl.where(slots[None, :] == 0, by_angle[:, None], 0.0)
        by_z += tl.where(slots[None, :] == 1, by_t0[:, None], 0.0)
        by_z += tl.where(slots[None, :] == 2, by_t1[:, None], 0.0)
        by_z += tl.where(slots[None, :] == 3, by_scale[:, None], 0.0)
        c, s = (scale * cos)[:, None], (scale * sin)[:, None]
        by_wx = tl.sum(by_a0 * c - by_a1 * s + by_c * t_0[:, None], 0)
        by_wy = tl.sum(by_a0 * s + by_a1 * c + by_c * t_1[:, None], 0)
        first_layer = part + at_first
        tl.store(first_layer + 2 * units, by_wx, mask=real)
        tl.store(first_layer + 2 * units + 1, by_wy, mask=real)
        tl.store(first_layer + 2 * WIDTH + units, tl.sum(by_c, 0), mask=real)
        content = latents - _CODES
        # Wide rather than tall, like all other products of rows: the compiler gives all of them the
        # same arrangement of warps, and a tall one would have each warp do the work of all others.
        by_wz = tl.trans(tl.dot(tl.trans(z), by_c, input_precision=_EXACT))
        wanted = (slots[None, :] >= _CODES) & (slots[None, :] < latents) & real[:, None]
        at_content = units[:, None] * content + slots[None, :] - _CODES
        tl.store(first_layer + 3 * WIDTH + at_content, by_wz, mask=wanted)
    else:
        by_z = tl.load(by_sample + at_slots, mask=latent, other=0.0)

    weight = tl.load(own_amounts) / n
    if KL_SAMPLED:
        by_mean = by_z + weight * z
        by_std = (by_z + weight * z) * drawn - weight / std
    else:
        by_mean = by_z + weight * mean
        by_std = by_z * drawn + weight * (std - 1 / std)
    by_mean = tl.where(both, by_mean * mask, 0.0)
    by_raw = tl.where(both, by_std * mask * tl.sigmoid(raw), 0.0)

    h = tl.load(hidden + (DEPTH - 1) * n_members * batch * WP + at_units, mask=both, other=0.0)
    w_mean, _ = _heads(own + at_heads, latents, LP, WIDTH, WP)
    w_std, _ = _heads(own + at_heads + latents * (WIDTH + 1), latents, LP, WIDTH, WP)
    by_w = tl.dot(tl.trans(by_mean), h, input_precision=_EXACT)
    _store_heads(part + at_heads, by_w, tl.sum(by_mean, 0), latents, LP, WIDTH, WP)
    by_w = tl.dot(tl.trans(by_raw), h, input_precision=_EXACT)
    second_head = part + at_heads + latents * (WIDTH + 1)
    _store_heads(second_head, by_w, tl.sum(by_raw, 0), latents, LP, WIDTH, WP)
    d = tl.dot(by_mean, w_mean, input_precision=_EXACT)
    d = tl.dot(by_raw, w_std, d, input_precision=_EXACT) * (1 - h * h)
    biases = part + at_hidden
    if DEPTH == 2:
        h = tl.load(hidden + at_units, mask=both, other=0.0)
        square = units[:, None] * WIDTH + units[None, :]
        in_square = real[:, None] & real[None, :]
        by_w = tl.dot(tl.trans(d), h, input_precision=_EXACT)
        tl.store(biases + WIDTH + square, by_w, mask=in_square)
        tl.store(biases + WIDTH + WIDTH * WIDTH + units, tl.sum(d, 0), mask=real)
        w = tl.load(own + at_hidden + WIDTH + square, mask=in_square, other=0.0)
        d = tl.dot(d, w, input_precision=_EXACT) * (1 - h * h)
    tl.store(biases + units, tl.sum(d, 0), mask=real)
    index = tl.load(order + at, mask=valid, other=0)
    for first in range(0, n_pixels, BLOCK):
        pixels = first + tl.arange(0, BLOCK)
        inside = pixels < n_pixels
        patches = data + data_start + index[:, None] * n_pixels + pixels[None, :]
        x = tl.load(patches, mask=both & inside[None, :], other=0.0)
        by_input = tl.dot(tl.trans(d), x, input_precision=_EXACT)
        weights = part + at_input + units[:, None] * n_pixels + pixels[None, :]
        tl.store(weights, by_input, mask=real[:, None] & inside[None, :])
