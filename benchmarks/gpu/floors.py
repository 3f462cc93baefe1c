"""The least that a training step must do: operations of its products, and bytes.

Arithmetic on sizes alone; nothing here is measured. One multiply-add counts as two operations. A
layer is passed once forwards and twice backwards (slope by its weights, slope by what goes in);
layers whose input is data have no slope by what goes in. What is left out is small: the first layer
of a spatial decoder composed with the pose, once per patch, and everything element by element
except tanh, which is counted on its own.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["N_CODES", "PAPER_WINDOWS_PX", "Floor", "step_floor", "sweep_operations"]

N_CODES = {"none": 0, "r": 1, "rt": 3}
PAPER_WINDOWS_PX = (3, 5, 7, 9, 11, 13, 15, 17, 20)
_FLOAT, _INDEX = 4, 8  # bytes
_DEPTH = 2  # hidden layers of encoder and decoder; a spatial decoder has one more in front


@dataclass(frozen=True)
class Floor:
    """Of one step of one member."""

    n_weights: int
    encoder_operations: int
    decoder_operations: int
    tanh: int
    """evaluations; the slope needs none"""
    weight_bytes: int
    """weights and both moments of Adam, read and written; a cache that holds them saves these"""
    batch_bytes: int
    """patches, their order and the noise, read once"""

    @property
    def operations(self) -> int:
        """Of all products."""
        return self.encoder_operations + self.decoder_operations

    @property
    def total_bytes(self) -> int:
        """If nothing stays in a cache from step to step."""
        return self.weight_bytes + self.batch_bytes

    def to_table(self) -> dict[str, Any]:
        """For a file of results."""
        return {**vars(self), "operations": self.operations, "total_bytes": self.total_bytes}


def step_floor(
    model: str, size_px: int, *, batch: int = 128, width: int = 128, latent_dim: int = 2
) -> Floor:
    """Count one step (forwards, backwards, Adam) of the model of the paper.

    Args:
        model: one of ``N_CODES``: no invariances, rotation, rotation and translation.
        size_px: edge of a patch.
        batch: patches of a step.
        width: units of each of the hidden layers.
        latent_dim: content latents.
    """
    pixels, latents = size_px**2, latent_dim + N_CODES[model]
    square = (_DEPTH - 1) * width**2
    heads = 2 * width * latents
    # Multiply-adds per patch: forwards and backwards.
    encoder = 2 * pixels * width + 3 * (square + heads)
    n_encoder = pixels * width + square + heads + _DEPTH * width + 2 * latents
    n_tanh = _DEPTH * width
    if model == "none":
        decoder = 3 * (latent_dim * width + square + width * pixels)
        n_decoder = latent_dim * width + square + width * pixels + _DEPTH * width + pixels
        n_tanh += _DEPTH * width
    else:
        hidden = _DEPTH * width**2
        # The slope of the first layer by coordinates is had from that by its map: two passes.
        per_pixel = 2 * 2 * width + 3 * (hidden + width)
        decoder = pixels * per_pixel + 3 * latent_dim * width
        n_decoder = (2 + latent_dim) * width + width + hidden + _DEPTH * width + width + 1
        n_tanh += pixels * (_DEPTH + 1) * width
    n_weights = n_encoder + n_decoder
    return Floor(
        n_weights=n_weights,
        encoder_operations=2 * batch * encoder,
        decoder_operations=2 * batch * decoder,
        tanh=batch * n_tanh,
        weight_bytes=2 * 3 * _FLOAT * n_weights,
        batch_bytes=batch * (_FLOAT * (pixels + latents) + _INDEX),
    )


def sweep_operations(*, patches: int = 4000, epochs: int = 1000, batch: int = 128) -> int:
    """Operations of the paper's sweep: every window with every model, each trained once."""
    per_batch = sum(
        step_floor(model, size, batch=batch).operations
        for model in N_CODES
        for size in PAPER_WINDOWS_PX
    )
    return per_batch * patches * epochs // batch
