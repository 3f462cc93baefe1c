"""Loss and gradients of the spatial decoders of all members, pixel by pixel, in one launch.

A tile is BP patches by BX pixels: its rows are decoded together. Coordinates go in; the losses, the
slopes of the first layer by patch and those of the weights come out. Nothing that belongs to a
pixel is ever written to memory.

The first layer of patch p at grid point g is A_p g + c_p. For all rows of a tile that is one
product of matrices: a row of ``places`` holds (g_x, g_y, 1, 0) in the columns of its own patch, and
``pose`` has the rows (A_p0, A_p1, c_p, unused) of each patch.
"""

import triton
import triton.language as tl

from vaeopt.kernels.training.gpu.functions import likelihood, slope, tanh

__all__ = ["decode"]


@triton.jit
def _rounded(x, NARROW: tl.constexpr, COMPILED: tl.constexpr):
    """As products take it: bf16 if NARROW; the interpreter gets the same numbers in float32."""
    if NARROW:
        x = x.to(tl.bfloat16)
        if not COMPILED:
            x = x.to(tl.float32)
    return x


@triton.jit(do_not_specialize=["step", "n", "n_patches", "batch", "n_members", "room", "steps"])
def decode(
    params,
    members,
    data,
    grids,
    order,
    subsets,
    pose,
    by_pose,
    nll,
    slopes,
    first_segment,
    segments,
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
    BP: tl.constexpr,
    BX: tl.constexpr,
    PLACES: tl.constexpr,
    KIND: tl.constexpr,
    SUBSETS: tl.constexpr,
    NARROW: tl.constexpr,
    PRECISION: tl.constexpr,
    BY_POSE: tl.constexpr,
    APPROXIMATE: tl.constexpr,
):
    """One step of all members.

    Args:
        params: (members, stride); see ``layout.py``, spatial.
        members: int32 (members, COLUMNS): data_start, n_pixels, grid_start, seen, splits.
        data: patches of all members, flat.
        grids: coordinates of the pixels of all windows, flat.
        order: int32 (members, n_patches), which patch comes when.
        subsets: int32 (members, steps, room), which pixels a step looks at; if SUBSETS.
        pose: (members, batch, 4, WP).
        by_pose: (splits, members, batch, 4, WP), out: parts of the slopes by the pose.
        nll: (splits, members, n_patches), out: parts of the losses [nats].
        slopes: (slots, slope_stride), out: parts of the slopes of hidden layers and last layer.
        first_segment: int32 (programs + 1), into ``segments``.
        segments: int32 (segments, 4): member, first item, items, slot. An item is a group of BP
            patches and a share of its pixels.
        step: of the epoch.
        n: patches of this step.
        gaussian_sd: of the Gaussian likelihood.
    """
    columns = tl.arange(0, BP * BX)
    own_patch, own_pixel = columns // BX, columns % BX
    patches = tl.arange(0, BP)
    # Four places of each patch, and as many as a product of matrices needs.
    places = tl.arange(0, PLACES)
    place_patch, part = places // 4, places % 4
    used = (place_patch < BP) & (part < 3)
    units = tl.arange(0, WP)
    real = units < WIDTH

    program = tl.program_id(0)
    for segment in range(tl.load(first_segment + program), tl.load(first_segment + program + 1)):
        entry = segments + 4 * segment
        member = tl.load(entry)
        first_item = tl.load(entry + 1)
        n_items = tl.load(entry + 2)
        table = members + member * COLUMNS
        data_start = tl.load(table)
        n_pixels = tl.load(table + 1)
        grid_start = tl.load(table + 2)
        seen = tl.load(table + 3)
        splits = tl.load(table + 4)
        weight = n_pixels.to(tl.float32) / seen
        scale = weight / n

        own = params + member.to(tl.int64) * stride
        square = units[:, None] * WIDTH + units[None, :]
        in_square = real[:, None] & real[None, :]
        w1 = _rounded(tl.load(own + square, mask=in_square, other=0.0), NARROW, APPROXIMATE)
        biases = own + DEPTH * WIDTH * WIDTH
        b1 = tl.load(biases + units, mask=real, other=0.0)
        if DEPTH == 2:
            w2 = _rounded(
                tl.load(own + WIDTH * WIDTH + square, mask=in_square, other=0.0),
                NARROW,
                APPROXIMATE,
            )
            b2 = tl.load(biases + WIDTH + units, mask=real, other=0.0)
        out = biases + DEPTH * WIDTH
        w_out = tl.load(out + units, mask=real, other=0.0)
        b_out = tl.load(out + WIDTH)

        by_w1 = tl.zeros((WP, WP), tl.float32)
        by_b1 = tl.zeros((WP,), tl.float32)
        if DEPTH == 2:
            by_w2 = tl.zeros((WP, WP), tl.float32)
            by_b2 = tl.zeros((WP,), tl.float32)
        by_w_out = tl.zeros((WP,), tl.float32)
        by_b_out = tl.zeros((BP * BX,), tl.float32)

        blocks = (seen + BX - 1) // BX
        share = (blocks + splits - 1) // splits
        for item in range(first_item, first_item + n_items):
            first_patch = item // splits * BP
            split = item % splits
            pose_row = (member * batch + first_patch) * 4 + places[None, :]
            in_batch = (first_patch + place_patch[None, :] < n) & used[None, :]
            p = tl.load(pose + pose_row * WP + units[:, None], mask=in_batch, other=0.0)
            at = member * n_patches + step * batch + first_patch
            here = first_patch + own_patch < n
            index = tl.load(order + at + own_patch, mask=here, other=0) * n_pixels
            by_p = tl.zeros((WP, PLACES), tl.float32)
            losses = tl.zeros((BP * BX,), tl.float32)
            for block in range(split * share, tl.minimum((split + 1) * share, blocks)):
                pixel = block * BX + own_pixel
                valid = here & (pixel < seen)
                if SUBSETS:
                    subset = subsets + (member * steps + step) * room
                    pixel = tl.load(subset + pixel, mask=pixel < seen, other=0)
                coordinate = grids + 2 * (grid_start + pixel)
                g_x = tl.load(coordinate, mask=valid, other=0.0)
                g_y = tl.load(coordinate + 1, mask=valid, other=0.0)
                x = tl.load(data + data_start + index + pixel, mask=valid, other=0.0)
                place = tl.where(part[:, None] == 0, g_x[None, :], g_y[None, :])
                place = tl.where(part[:, None] == 2, 1.0, place)
                mine = (place_patch[:, None] == own_patch[None, :]) & used[:, None]
                place = tl.where(mine, place, 0.0)

                a = tl.dot(p, place, input_precision="tf32x3")
                h0 = _rounded(tanh(a, APPROXIMATE), NARROW, APPROXIMATE)
                a = tl.dot(w1, h0, input_precision=PRECISION) + b1[:, None]
                h1 = _rounded(tanh(a, APPROXIMATE), NARROW, APPROXIMATE)
                if DEPTH == 2:
                    a = tl.dot(w2, h1, input_precision=PRECISION) + b2[:, None]
                    last = tanh(a, APPROXIMATE)
                else:
                    last = h1.to(tl.float32)
                logits = tl.sum(last * w_out[:, None], 0) + b_out
                losses += tl.where(valid, likelihood(x, logits, KIND, gaussian_sd), 0.0)
                by_logit = tl.where(valid, slope(x, logits, KIND, gaussian_sd) * scale, 0.0)

                by_b_out += by_logit
                by_w_out += tl.sum(last * by_logit[None, :], 1)
                d = by_logit[None, :] * w_out[:, None] * (1 - last * last)
                if DEPTH == 2:
                    by_b2 += tl.sum(d, 1)
                    narrow = _rounded(d, NARROW, APPROXIMATE)
                    by_w2 = tl.dot(narrow, tl.trans(h1), by_w2, input_precision=PRECISION)
                    value = h1.to(tl.float32)
                    d = tl.dot(tl.trans(w2), narrow, input_precision=PRECISION)
                    d *= 1 - value * value
                by_b1 += tl.sum(d, 1)
                narrow = _rounded(d, NARROW, APPROXIMATE)
                by_w1 = tl.dot(narrow, tl.trans(h0), by_w1, input_precision=PRECISION)
                value = h0.to(tl.float32)
                d = tl.dot(tl.trans(w1), narrow, input_precision=PRECISION) * (1 - value * value)
                by_p = tl.dot(d, tl.trans(place), by_p, input_precision=BY_POSE)
            by_pose_row = ((split * n_members + member) * batch + first_patch) * 4 + places[None, :]
            in_pose = (first_patch + place_patch[None, :] < batch) & used[None, :]
            by_pose_at = by_pose_row.to(tl.int64) * WP + units[:, None]
            tl.store(by_pose + by_pose_at, by_p, mask=in_pose)
            by_patch = tl.sum(tl.reshape(losses, (BP, BX)), 1) * weight
            nll_at = split * n_members * n_patches + at + patches
            tl.store(nll + nll_at, by_patch, mask=first_patch + patches < n)

        # Addresses that are known before the loop would sit in registers all the way through it.
        slot = tl.load(entry + 3)
        again = units + tl.minimum(slot, 0)
        square = again[:, None] * WIDTH + again[None, :]
        in_square = (again[:, None] < WIDTH) & (again[None, :] < WIDTH)
        part_of = slopes + slot.to(tl.int64) * slope_stride
        tl.store(part_of + square, by_w1, mask=in_square)
        part_of_biases = part_of + DEPTH * WIDTH * WIDTH
        tl.store(part_of_biases + units, by_b1, mask=real)
        if DEPTH == 2:
            tl.store(part_of + WIDTH * WIDTH + square, by_w2, mask=in_square)
            tl.store(part_of_biases + WIDTH + units, by_b2, mask=real)
        part_of_out = part_of_biases + DEPTH * WIDTH
        tl.store(part_of_out + units, by_w_out, mask=real)
        tl.store(part_of_out + WIDTH, tl.sum(by_b_out, 0))
