"""Errors of reconstruction, block by block."""

import numpy as np
from torch import Tensor

from vaeopt.core.types import Floats, Reconstruction
from vaeopt.kernels.elbo import fast, reference
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["ErrorSums"]


class ErrorSums:
    """Running sums in float64: memory is that of one block, however many patches there are.

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
        # The core of a window lies round the pixel of the key point, as a smaller window would.
        first = patches.shape[1] // 2 - core_px // 2
        core = slice(first, first + core_px)
        self._core = (slice(None), core, core)
        self._nll = self._floor = self._error = self._spread = 0.0
        self._core_error = self._core_spread = 0.0

    def add(self, pixels: Tensor, logits: Tensor) -> Tensor:
        """Count a block of patches.

        Args:
            pixels: (rows, n_pixels).
            logits: what the decoder says of them, same shape.

        Returns:
            (rows,) NLL summed over the pixels of each patch [nats], float64.
        """
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


def _ratio(error: float, spread: float) -> float:
    """Unexplained share; 1 where there is nothing to explain (a single or identical patches)."""
    return error / spread if spread > 0 else 1.0
