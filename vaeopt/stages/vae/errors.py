"""Errors of reconstruction, block by block."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vaeopt.core.types import Floats, Reconstruction
from vaeopt.kernels.elbo import fast, reference
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["DeviceErrorSums", "ErrorSums", "HostErrorSums", "error_sums"]


class ErrorSums(Protocol):
    """Running sums in float64: memory is that of one block, however many patches there are."""

    def add(self, pixels: Tensor, logits: Tensor) -> Tensor:
        """Count a block of patches.

        Args:
            pixels: (rows, n_pixels).
            logits: what the decoder says of them, same shape.

        Returns:
            (rows,) NLL summed over the pixels of each patch [nats], float64.
        """

    def reconstruction(self) -> Reconstruction:
        """Of all blocks that were added."""


def error_sums(
    patches: Floats, settings: VaeSettings, core_px: int, device: torch.device
) -> ErrorSums:
    """The sums for patches that are looked at on this device.

    Args:
        patches: (n, size, size) all patches that will be added.
        settings: of the model, for its likelihood.
        core_px: edge of the central part on which ``fvu_core`` looks.
        device: of the blocks.
    """
    if device.type == "cpu":
        return HostErrorSums(patches, settings, core_px)
    mean = patches.mean(axis=0, dtype=np.float64)
    return DeviceErrorSums(torch.from_numpy(mean).to(device), patches.size, settings, core_px)


def _core(size_px: int, core_px: int) -> tuple[slice, slice, slice]:
    """The core of a window lies round the pixel of the key point, as a smaller window would."""
    first = size_px // 2 - core_px // 2
    core = slice(first, first + core_px)
    return slice(None), core, core


class HostErrorSums:
    """On the CPU, by numpy.

    Args:
        patches: (n, size, size) all patches that will be added.
        settings: of the model, for its likelihood.
        core_px: edge of the central part on which ``fvu_core`` looks.
    """

    def __init__(self, patches: Floats, settings: VaeSettings, core_px: int) -> None:
        self._mean_patch = patches.mean(axis=0, dtype=np.float64)
        self._settings = settings
        self._core_px = core_px
        self._n_pixels = patches.size
        self._core = _core(patches.shape[1], core_px)
        self._nll = self._floor = self._error = self._spread = 0.0
        self._core_error = self._core_spread = 0.0

    def add(self, pixels: Tensor, logits: Tensor) -> Tensor:
        """Count a block of patches; their NLL."""
        likelihood, sd = self._settings.likelihood, self._settings.gaussian_sd
        # From logits in float64: a mean that rounds to 0 or 1 would make the likelihood infinite.
        nll = fast.nll(pixels.double(), logits.double(), likelihood, gaussian_sd=sd).sum(1)
        shape = (-1, *self._mean_patch.shape)
        x = pixels.numpy().astype(np.float64).reshape(shape)
        error = (x - logits.sigmoid().numpy().reshape(shape)) ** 2
        spread = (x - self._mean_patch) ** 2
        floor = reference.entropy_floor(x, likelihood, gaussian_sd=sd)
        self._nll += float(nll.sum())
        self._floor += float(floor.sum())
        self._error += float(error.sum())
        self._spread += float(spread.sum())
        self._core_error += float(error[self._core].sum())
        self._core_spread += float(spread[self._core].sum())
        return nll

    def reconstruction(self) -> Reconstruction:
        """Of all blocks that were added."""
        return Reconstruction(
            nll_nats=self._nll / self._n_pixels,
            floor_nats=self._floor / self._n_pixels,
            mse=self._error / self._n_pixels,
            fvu=_ratio(self._error, self._spread),
            fvu_core=_ratio(self._core_error, self._core_spread),
            core_px=self._core_px,
        )


class DeviceErrorSums:
    """On another device, which the host does not wait for until all blocks have been added.

    Args:
        mean_patch: (size, size) mean of all patches, float64, on the device.
        n_pixels: of all patches together.
        settings: of the model, for its likelihood.
        core_px: edge of the central part on which ``fvu_core`` looks.
    """

    def __init__(
        self, mean_patch: Tensor, n_pixels: int, settings: VaeSettings, core_px: int
    ) -> None:
        self._mean_patch, self._n_pixels, self._core_px = mean_patch, n_pixels, core_px
        self._likelihood, self._sd = settings.likelihood, settings.gaussian_sd
        self._core = _core(len(mean_patch), core_px)
        self._sums = mean_patch.new_zeros(6)

    def add(self, pixels: Tensor, logits: Tensor) -> Tensor:
        """Count a block of patches; their NLL."""
        x = pixels.double()
        nll = fast.nll(x, logits.double(), self._likelihood, gaussian_sd=self._sd).sum(1)
        floor = fast.entropy_floor(x, self._likelihood, gaussian_sd=self._sd)
        shape = (-1, *self._mean_patch.shape)
        error = (x - logits.sigmoid()).square().view(shape)
        spread = (x.view(shape) - self._mean_patch).square()
        parts = (nll, floor, error, spread, error[self._core], spread[self._core])
        self._sums += torch.stack([part.sum() for part in parts])
        return nll

    def reconstruction(self) -> Reconstruction:
        """Of all blocks that were added."""
        nll, floor, error, spread, core_error, core_spread = self._sums.tolist()
        return Reconstruction(
            nll_nats=nll / self._n_pixels,
            floor_nats=floor / self._n_pixels,
            mse=error / self._n_pixels,
            fvu=_ratio(error, spread),
            fvu_core=_ratio(core_error, core_spread),
            core_px=self._core_px,
        )


def _ratio(error: float, spread: float) -> float:
    """Unexplained share; 1 where there is nothing to explain (a single or identical patches)."""
    return error / spread if spread > 0 else 1.0
