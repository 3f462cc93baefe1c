"""An epoch of many small models: four launches per step for all of them together."""

import os
import weakref
from collections.abc import Mapping, Sequence

import torch
import triton
from torch import Tensor

from vaeopt.kernels.graphs import Captured, Inbox
from vaeopt.kernels.training.gpu import encoder, spatial, vanilla
from vaeopt.kernels.training.gpu.adam import adam
from vaeopt.kernels.training.gpu.inputs import Draw, Member, Prepared, unequal
from vaeopt.kernels.training.gpu.layout import Layout, slots
from vaeopt.kernels.training.gpu.shares import Shares, share_out, split
from vaeopt.kernels.training.recipe import LIKELIHOODS

__all__ = ["Program"]

# Multiply-adds as one instruction, as ever: the default will change, Triton warns until it does.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

_PATCHES, _PIXELS = 2, 16  # of a tile: more columns do not fit into registers
_ROWS = 16  # of a block; products need as many
_BLOCK_PIXELS = 64
_PARTS, _PARAMS = 16, 256  # of a program that sums slopes
_BETAS = 0.9, 0.999
_COLUMNS = 9
_ACTIVE = 5


class Program:
    """Trains members side by side; windows, invariances, latents and KL weights may differ.

    On a GPU, an epoch is one CUDA graph. Elsewhere the kernels run under Triton's interpreter
    (``TRITON_INTERPRET=1`` before they are imported), which is for tests.

    Args:
        members: as many patches each; see :func:`unequal`.
        programs: of the spatial decoder; as many as the GPU has multiprocessors if left out.
        tile_patches: of the spatial decoder.

    Raises:
        ValueError: members that cannot train together.
    """

    def __init__(
        self, members: Sequence[Member], *, programs: int = 0, tile_patches: int = _PATCHES
    ) -> None:
        recipes = [member.recipe for member in members]
        counts = {len(member.patches) for member in members}
        if different := unequal(recipes) + ["patches"] * (len(counts) > 1):
            raise ValueError(f"members of a program differ in {', '.join(different)}")
        self._recipes, self._seen = recipes, [member.seen for member in members]
        self._recipe, self._device = recipes[0], members[0].patches.device
        self._n = counts.pop()
        self._batch = min(recipes[0].batch_size, self._n)
        self._steps = -(-self._n // self._batch)
        self._layout = Layout.of(recipes)
        self._programs = programs or _multiprocessors(self._device)
        self._tile_patches = tile_patches
        self._subsets = any(m.seen < m.recipe.n_pixels for m in members)
        self._steps_done = 0
        self._active: list[int] = []
        self.shares = Shares([0], [])
        """who does what in the spatial decoder"""
        self._allocate(members)
        # A program that held itself would keep its memory until Python looks for such rings.
        own = weakref.proxy(self)
        self._run = Captured(lambda: own._epoch(), self._device)

    def prepare(self, draws: Mapping[int, Draw]) -> "Prepared":
        """The random numbers of an epoch as the kernels read them; touches nothing else.

        Args:
            draws: of each member that trains; one that is left out never comes back.
        """
        every, layout = range(len(self._recipes)), self._layout
        order = torch.zeros(len(every), self._n, dtype=torch.int32)
        noise = torch.zeros(len(every), self._n, layout.latents)
        for member, draw in draws.items():
            order[member] = draw.order
            for latent, slot in enumerate(slots(self._recipes[member])):
                noise[member, :, slot] = draw.noise[:, latent]
        pixels = None
        if self._subsets:
            pixels = torch.stack([self._subset(m, draws.get(m)) for m in every])
        return Prepared(list(draws), order, noise, pixels)

    def epoch(self, prepared: "Prepared", *, learning_rate: float) -> dict[int, float]:
        """One pass of some members over their patches.

        Args:
            prepared: which ones, and their random numbers.
            learning_rate: of Adam.

        Returns:
            Of each of them, the mean loss of a patch [nats]; nan where it or a weight is not
            finite.
        """
        if prepared.members != self._active:
            self._activate(prepared.members)
        self._fill(prepared, learning_rate)
        self._run()
        self._steps_done += self._steps
        losses = self._losses.tolist()
        return {member: losses[member] for member in prepared.members}

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of those after the last epoch of the member that had a finite result."""
        row = self._kept[member].cpu()
        return self._layout.unpack(self._recipes[member], row)

    def _allocate(self, members: Sequence[Member]) -> None:
        layout, device, count = self._layout, self._device, len(members)
        n, batch, steps = self._n, self._batch, self._steps
        width = max(16, triton.next_power_of_2(layout.width))
        self._wp = width
        # More columns than rows: see ``encoder.backward``.
        self._lp = max(2 * _ROWS, triton.next_power_of_2(layout.latents))
        self._blocks = -(-batch // _ROWS)

        def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        stride = layout.stride
        self._params, self._first, self._second, self._kept = new(4, count, stride).unbind()
        rows = torch.zeros(count, stride)
        for row, member in zip(rows, members, strict=True):
            layout.pack(member.recipe, member.weights, row)
        self._params.copy_(rows)
        self._kept.copy_(rows)

        self._data, data_starts = _side_by_side([member.patches for member in members])
        windows = {m.recipe.n_pixels: m.recipe.grid for m in members}
        self._grids, grid_starts = new(2), [0] * count
        if layout.spatial:
            self._grids, starts = _side_by_side(list(windows.values()))
            by_window = dict(zip(windows, starts, strict=True))
            grid_starts = [by_window[m.recipe.n_pixels] // 2 for m in members]
            self._grids = self._grids.to(device)
        groups = -(-batch // self._tile_patches)
        self._splits = split([_blocks(m.seen) for m in members], groups, self._programs)
        table = torch.zeros(count, _COLUMNS, dtype=torch.int32)
        for row, member in zip(range(count), members, strict=True):
            n_pixels = member.recipe.n_pixels
            head = (data_starts[row], n_pixels, grid_starts[row], member.seen, self._splits[row])
            table[row] = torch.tensor([*head, 0, 0, 0, layout.size(n_pixels)])
        self._table = table
        self._members = table.to(device)
        self._amounts, self._masks = (part.to(device) for part in self._constants())

        seen = max(self._seen) if layout.spatial else layout.n_pixels
        splits = max(self._splits) if layout.spatial else 1
        _refuse_too_many(
            patches=self._data.numel(),
            noise=count * n * layout.latents,
            pixels=count * steps * seen if self._subsets else 0,
            losses=splits * count * n,
            units=max(layout.depth, 4) * count * batch * width,
        )

        self._order = Inbox((count, n), torch.int32, device)
        self._noise = Inbox((count, n, layout.latents), torch.float32, device)
        self._rates = Inbox((steps, 2), torch.float32, device)
        dtype = torch.int32 if layout.spatial else torch.float32
        self._pixels = Inbox((count, steps, seen) if self._subsets else (1, 1, 1), dtype, device)

        self._hidden = new(layout.depth, count, batch, width)
        self._posterior = new(2, count, batch, layout.latents)
        self._nll, self._kl = new(splits, count, n), new(count, n)
        self._row_slopes = new(count, self._blocks, stride - layout.pixel_slopes)
        if layout.spatial:
            self._pose = new(count, batch, 4, width)
            self._by_pose = new(splits, count, batch, 4, width)
            self._pixel_slopes = new(self._programs + count, layout.pixel_slopes)
            self._first_segment = new(self._programs + 1, dtype=torch.int32)
            self._segments = new(self._programs + count, 4, dtype=torch.int32)
        else:
            self._by_sample = new(count, batch, layout.latents)
            self._pixel_slopes = new(1, 1)
        self._losses = new(count, dtype=torch.float64)

    @property
    def scratch(self) -> list[Tensor]:
        """What a step writes before it reads it; numbers of an epoch before mean nothing."""
        shared = [self._hidden, self._posterior]
        if self._layout.spatial:
            slopes = self._pixel_slopes[:, : self._layout.by_pixel]
            return [*shared, self._pose, self._by_pose, slopes]
        return [*shared, self._by_sample]

    def _constants(self) -> tuple[Tensor, Tensor]:
        """KL weight and prior sd of the codes, (members, 8); latents that are there."""
        amounts = torch.zeros(len(self._recipes), 8)
        masks = torch.zeros(len(self._recipes), self._layout.latents)
        for member, recipe in enumerate(self._recipes):
            amounts[member, 0] = recipe.kl_weight
            sd = (recipe.rotation_sd, recipe.translation_sd, recipe.scale_sd)
            amounts[member, 4:7] = torch.tensor(sd)
            masks[member, slots(recipe)] = 1
        return amounts, masks

    def _activate(self, active: list[int]) -> None:
        """Only these go on; the pixels are shared out anew."""
        self._active, table = active, self._table
        table[:, _ACTIVE:8] = 0
        table[active, _ACTIVE] = 1
        if self._layout.spatial:
            groups = -(-self._batch // self._tile_patches)
            items = [0] * len(self._recipes)
            for member in active:
                items[member] = groups * self._splits[member]
            blocks = [_blocks(seen) for seen in self._seen]
            costs = [-(-b // s) for b, s in zip(blocks, self._splits, strict=True)]
            self.shares = shares = share_out(items, costs, self._programs)
            for segment in reversed(shares.segments):
                table[segment.member, 6] = segment.slot
                table[segment.member, 7] += 1
            self._first_segment.copy_(torch.tensor(shares.first_segment, dtype=torch.int32))
            segments = torch.tensor([list(segment) for segment in shares.segments])
            self._segments[: len(segments)] = segments.to(self._segments)
        self._members.copy_(table)

    def _fill(self, prepared: "Prepared", learning_rate: float) -> None:
        """Random numbers and rates of the epoch to the device."""
        self._order.fill(prepared.order.unbind())
        self._noise.fill(prepared.noise.unbind())
        if prepared.pixels is not None:
            self._pixels.fill(prepared.pixels.unbind())
        steps = torch.arange(1, self._steps + 1, dtype=torch.float64) + self._steps_done
        first, second = (1 - beta**steps for beta in _BETAS)
        rates = torch.stack([learning_rate / first, 1 / second.sqrt()], 1)
        self._rates.fill(rates.float().unbind())

    def _subset(self, member: int, draw: Draw | None) -> Tensor:
        """Numbers of the pixels of every step, or what each pixel counts; padded."""
        n_pixels, inbox = self._recipes[member].n_pixels, self._pixels.tensor
        steps, room = inbox.shape[1:]
        padded = torch.zeros(steps, room, dtype=inbox.dtype)
        if draw is None or draw.pixels is None:
            return padded
        if self._layout.spatial:
            padded[:, : draw.pixels.shape[1]] = draw.pixels.to(torch.int32)
            return padded
        return padded.scatter_(1, draw.pixels, n_pixels / draw.pixels.shape[1])

    def _epoch(self) -> None:
        """All that is done on the device."""
        for step in range(self._steps):
            self._step(step, min(self._batch, self._n - step * self._batch))
        kl = self._kl.sum(1, dtype=torch.float64)
        losses = (self._nll.sum((0, 2), dtype=torch.float64) + kl) / self._n
        # A sum is not finite if one of its parts is not.
        finite = losses.isfinite() & self._params.sum(1).isfinite()
        # Not ``where``: its number would be copied from the host.
        self._losses.copy_(losses.masked_fill(~finite, torch.nan))
        self._kept.copy_(torch.where(finite[:, None], self._params, self._kept))

    def _step(self, step: int, n: int) -> None:
        layout, recipe, count = self._layout, self._recipe, len(self._recipes)
        kind, sd = LIKELIHOODS.index(recipe.likelihood), recipe.gaussian_sd
        stride = self._params.shape[1]
        shape = {
            "stride": stride,
            "COLUMNS": _COLUMNS,
            "n_patches": self._n,
            "batch": self._batch,
            "n_members": count,
            "WIDTH": layout.width,
            "WP": self._wp,
            "DEPTH": layout.depth,
        }
        rows = {
            "latents": layout.latents,
            "LP": self._lp,
            "ROWS": _ROWS,
            "BLOCK": _BLOCK_PIXELS,
        }
        places = {
            "SPATIAL": layout.spatial,
            "KL_SAMPLED": recipe.kl_sampled,
            "at_first": layout.at_first,
            "at_heads": layout.at_heads,
            "at_hidden": layout.at_hidden,
            "at_input": layout.at_input,
        }
        order, noise = self._order.tensor, self._noise.tensor
        known = (self._params, self._members)
        own = (self._amounts, self._masks, self._data, order, noise)
        by_block = (count, self._blocks)
        pose = self._pose if layout.spatial else self._posterior
        encoder.forward[by_block](
            *(*known, *own, self._hidden, self._posterior, pose, self._kl, step, n),
            **(shape | rows | places),
            num_warps=8,
            num_stages=1,
        )
        if layout.spatial:
            spatial.decode[(self._programs,)](
                *(*known, self._data, self._grids, order, self._pixels.tensor, pose),
                *(self._by_pose, self._nll, self._pixel_slopes),
                *(self._first_segment, self._segments, step, n, sd),
                **shape,
                room=self._pixels.tensor.shape[2],
                steps=self._steps,
                slope_stride=layout.pixel_slopes,
                BP=self._tile_patches,
                BX=_PIXELS,
                PLACES=max(16, 4 * self._tile_patches),
                KIND=kind,
                SUBSETS=self._subsets,
                NARROW=recipe.bf16,
                PRECISION="tf32" if recipe.bf16 else "tf32x3",
                BY_POSE="tf32" if recipe.bf16 else "tf32x3",
                APPROXIMATE=recipe.bf16 and self._device.type == "cuda",
                num_warps=8,
                num_stages=1,
            )
            by_pose, by_sample = self._by_pose, self._posterior
        else:
            vanilla.decode[by_block](
                *(*known, self._masks, self._data, order, self._pixels.tensor, noise),
                *(self._posterior, self._by_sample, self._nll, self._row_slopes, step, n, sd),
                **(shape | rows),
                room=self._pixels.tensor.shape[2],
                steps=self._steps,
                slope_stride=self._row_slopes.shape[2],
                KIND=kind,
                SUBSETS=self._subsets,
                at_out=layout.at_out,
                num_warps=8,
                num_stages=1,
            )
            by_pose, by_sample = self._posterior, self._by_sample
        encoder.backward[by_block](
            *(*known, *own, self._hidden, self._posterior, by_pose, by_sample),
            *(self._row_slopes, step, n),
            **(shape | rows | places),
            slope_stride=self._row_slopes.shape[2],
            skipped=layout.pixel_slopes,
            num_warps=8,
            num_stages=1,
        )
        adam[(count, triton.cdiv(stride, _PARAMS))](
            *(self._params, self._first, self._second, self._members, self._rates.tensor),
            *(self._pixel_slopes, self._row_slopes, step),
            stride=stride,
            COLUMNS=_COLUMNS,
            n_pixel_slopes=layout.pixel_slopes,
            row_stride=self._row_slopes.shape[2],
            blocks=self._blocks,
            SPATIAL=layout.spatial,
            PARTS=_PARTS,
            BLOCK=_PARAMS,
            num_warps=4,
        )


def _blocks(seen: int) -> int:
    """Tiles along the pixels of a patch."""
    return -(-seen // _PIXELS)


def _side_by_side(arrays: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """All different ones in one flat array, and where each of them begins."""
    starts: dict[int, int] = {}
    different: list[Tensor] = []
    size = 0
    for array in arrays:
        if array.data_ptr() not in starts:
            starts[array.data_ptr()] = size
            different.append(array.reshape(-1))
            size += array.numel()
    flat = different[0] if len(different) == 1 else torch.cat(different)
    return flat, [starts[array.data_ptr()] for array in arrays]


def _refuse_too_many(**numbers: int) -> None:
    """Places in these arrays are int32 in the kernels; those of slopes are not."""
    if large := [name for name, count in numbers.items() if count >= 2**31]:
        raise ValueError(f"members of a program have 2^31 or more of {', '.join(large)} together")


def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 3
    return torch.cuda.get_device_properties(device).multi_processor_count
