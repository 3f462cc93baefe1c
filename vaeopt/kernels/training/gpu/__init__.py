"""Whole epochs of many models on a GPU, in kernels written in Triton.

Triton comes with torch where torch comes for CUDA. Nothing here is imported before it is needed, so
that everything else runs without it.

A step is four launches: ``encoder.forward``, ``spatial.decode`` or ``vanilla.decode``,
``encoder.backward``, ``adam``. Constants that several kernels know:

=======================================  ==========================================================
stride, slope_stride, row_stride         length of a row of parameters, of slopes
n_members, n_patches, batch, steps       of an epoch; the last step may have fewer than ``batch``
WIDTH, DEPTH, latents                    of the networks; latents with all codes (``layout.py``)
WP, LP                                   width and latents, padded to what products need
ROWS, BLOCK                              patches of a program; pixels, or parameters, of a round
BP, BX, PLACES                           a tile: patches, pixels, columns of its poses
KIND, KL_SAMPLED                         likelihood by its place in ``LIKELIHOODS``; estimator
SUBSETS, room                            whether steps look at some pixels only; room for them
NARROW, PRECISION, BY_POSE, APPROXIMATE  bf16 products; others; those of the pose; tanh
at_first, .., at_input                   places in a row of parameters (``layout.py``)
=======================================  ==========================================================

What is large is known when a kernel is compiled; what changes from one batch of trials to the next
is not, or every batch would be compiled anew.
"""

import functools
import importlib.util
import os

import torch

from vaeopt.kernels.training.recipe import Recipe

__all__ = ["interprets", "why_not"]

_MOST_CONTENT = 28  # 32 columns with the codes
_MOST_WIDTH, _MOST_DEPTH = 128, 2
# Shared memory that the spatial decoder's kernel needs at depth 2, by products and padded width, as
# its compiler says (``benchmarks/gpu/compiled.py``).
_SHARED_BYTES = {
    (True, 16): 8_192,
    (True, 32): 20_480,
    (True, 64): 55_296,
    (True, 128): 174_080,
    (False, 16): 12_288,
    (False, 32): 53_248,
    (False, 64): 172_032,
}
# The same at depth 1, where GPUs have room for that and not for two layers.
_SHALLOW_BYTES = {(True, 128): 100_352, (False, 64): 106_496}
_OTHERS_BYTES = 73_728  # of all other kernels
_OLDEST = (8, 0)  # bf16 and tf32 products


@functools.cache
def interprets() -> bool:
    """Whether Triton runs its kernels as Python, on any device: for tests, and very slow."""
    return os.environ.get("TRITON_INTERPRET") == "1" and _has_triton()


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def why_not(recipe: Recipe, device: torch.device) -> str:
    """What keeps the kernels from this recipe on a device, in a few words; empty if nothing does.

    >>> why_not(Recipe(81, 256, 2, 2, "bernoulli", 0.5, 0.1, False, 128), torch.device("cpu"))
    'width is above 128'
    """
    if recipe.width > _MOST_WIDTH:
        return f"width is above {_MOST_WIDTH}"
    if recipe.depth > _MOST_DEPTH:
        return f"depth is above {_MOST_DEPTH}"
    if recipe.latent_dim > _MOST_CONTENT:
        return f"latent_dim is above {_MOST_CONTENT}"
    needed = _shared_bytes(recipe)
    if needed is None:
        return "float32 products at a width above 64 need more shared memory than there is"
    if not _has_triton():
        return "Triton is not installed"
    if interprets():
        return ""
    if device.type != "cuda":
        return "the device is no GPU"
    properties = torch.cuda.get_device_properties(device)
    if (properties.major, properties.minor) < _OLDEST:
        return f"the GPU's compute capability is below {_OLDEST[0]}.{_OLDEST[1]}"
    room = getattr(properties, "shared_memory_per_block_optin", needed)  # not in every torch
    if room < max(needed, _OTHERS_BYTES):
        return f"a block of the GPU has too little shared memory for width {recipe.width}"
    return ""


def _shared_bytes(recipe: Recipe) -> int | None:
    """Of the decoder's kernel; None if no GPU has so much."""
    if not recipe.is_spatial:
        return _OTHERS_BYTES
    kind = recipe.bf16, max(16, 1 << (recipe.width - 1).bit_length())
    needed = _SHARED_BYTES.get(kind)
    return _SHALLOW_BYTES.get(kind, needed) if recipe.depth == 1 else needed
