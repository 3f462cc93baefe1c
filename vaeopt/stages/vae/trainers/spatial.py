"""The spatial decoder of all members: what is small at once, the pixels by the kernel."""

import torch
from torch import Tensor
from torch.nn import functional

from vaeopt.kernels.decoder import spatial_nll
from vaeopt.kernels.elbo import fast as elbo
from vaeopt.kernels.grid import pixel_grid
from vaeopt.stages.vae.invariances import compose
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.stack import Stack

__all__ = ["StackedSpatial"]


class StackedSpatial:
    """Latents -> loss of the patches, and back.

    Args:
        stack: weights of the members.
        settings: of all members.
        size_px: edge of a patch.
        at_once: pixels of all members in one product per layer, with all activations in memory;
            else members one after the other in the kernel, which keeps none.
        threads: of the compiled kernel; as many as torch has if left out.
    """

    def __init__(
        self,
        stack: Stack,
        settings: VaeSettings,
        size_px: int,
        *,
        at_once: bool,
        threads: int | None = None,
    ) -> None:
        names = [name for name in stack.values if name.startswith("decoder.")]
        self._slopes = [stack.slopes[name] for name in names]
        self._settings = settings
        self._at_once = at_once
        self._leaves = {
            name.removeprefix("decoder."): stack.values[name].detach().requires_grad_()
            for name in names
        }
        self._grid = pixel_grid(size_px).to(self._slopes[0])
        self._prior_sd = settings.prior_sd.by_kind()
        self._layers = [f"hidden.{i}" for i in range(settings.depth)]
        self.threads = threads

    def __call__(
        self, sample: Tensor, patches: Tensor, pixels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`StackedVanilla.__call__`."""
        members, n, n_pixels = patches.shape
        grid, weight = self._grid.expand(members, -1, -1), 1.0
        if pixels is not None:
            grid, weight = self._grid[pixels], n_pixels / pixels.shape[1]
            patches = patches.gather(2, pixels.unsqueeze(1).expand(-1, n, -1))
        with torch.enable_grad():
            leaf = sample.detach().requires_grad_()
            linear, offset = self._first_layer(leaf)
            each = self._together if self._at_once else self._in_turn
            nll = each(linear, offset, grid, patches)
            wanted = [leaf, *self._leaves.values()]
            by_sample, *found = torch.autograd.grad(nll.sum() * (weight / n), wanted)
        torch._foreach_copy_(self._slopes, found)
        return nll.detach() * weight, by_sample

    def _first_layer(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Map of the coordinates and first layer in one, (members, n, width, 2) and without 2.

        W_c (L g + t) + b + W_z z is (W_c L) g + (W_c t + b + W_z z).
        """
        leaves, settings = self._leaves, self._settings
        members, n, _ = sample.shape
        codes, content = torch.split(sample, [settings.n_codes, settings.latent_dim], dim=2)
        linear, offset = compose(settings.invariances, codes.flatten(0, 1), self._prior_sd)
        weight = leaves["coordinates.weight"].mT
        # Rows are columns of L, so that one product serves all patches of a member.
        columns = linear.mT.reshape(members, 2 * n, 2)
        seen = torch.bmm(columns, weight).view(members, n, 2, -1).mT
        bias = leaves["coordinates.bias"].unsqueeze(1)
        shifted = torch.baddbmm(bias, offset.reshape(members, n, 2), weight)
        return seen, torch.baddbmm(shifted, content, leaves["content.weight"].mT)

    def _in_turn(self, linear: Tensor, offset: Tensor, grid: Tensor, patches: Tensor) -> Tensor:
        """Summed over pixels and patches, (members,)."""
        settings = self._settings
        # Not by index: the slope of a part would be as large as the whole.
        hidden = [self._of_members(name) for name in self._layers]
        parts = zip(
            *(linear.unbind(), offset.unbind(), grid.unbind(), patches.unbind()),
            *(self._of_members("out"), *hidden),
            strict=True,
        )
        losses = [
            spatial_nll(
                own_linear,
                own_offset,
                own_hidden,
                out,
                own_grid,
                pixels,
                likelihood=settings.likelihood,
                gaussian_sd=settings.gaussian_sd,
                engine=settings.engine,
                precision=settings.precision,
                threads=self.threads,
            ).total
            for own_linear, own_offset, own_grid, pixels, out, *own_hidden in parts
        ]
        return torch.stack(losses)

    def _of_members(self, layer: str) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each member."""
        weight, bias = (self._leaves[f"{layer}.{part}"].unbind() for part in ("weight", "bias"))
        return list(zip(weight, bias, strict=True))

    def _together(self, linear: Tensor, offset: Tensor, grid: Tensor, patches: Tensor) -> Tensor:
        """The same; products are taken of bf16 numbers where the settings say so."""
        leaves, settings = self._leaves, self._settings
        members, n, _ = patches.shape
        dtype = torch.bfloat16 if settings.precision == "bf16" else offset.dtype
        pose = torch.cat([linear.mT, offset.unsqueeze(2)], dim=2)
        # In place: an array of all pixels of all members is what the memory and its speed limit.
        first = torch.matmul(functional.pad(grid, (0, 1), value=1.0).unsqueeze(1), pose).tanh_()
        h = first.view(members, -1, offset.shape[2]).to(dtype)
        for layer in self._layers:
            bias, weight = leaves[f"{layer}.bias"].to(dtype), leaves[f"{layer}.weight"].to(dtype)
            h = torch.baddbmm(bias.unsqueeze(1), h, weight.mT).tanh_()
        # The last layer has one unit: no product of matrices would be worth its rounding.
        logits = h.to(offset.dtype) @ leaves["out.weight"].mT + leaves["out.bias"].unsqueeze(1)
        logits = logits.view(members, n, -1)
        nll = elbo.nll(patches, logits, settings.likelihood, gaussian_sd=settings.gaussian_sd)
        return nll.sum((1, 2))
