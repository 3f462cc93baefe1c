"""Steps of Adam on an invariant VAE, without returning to Python between them."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from vaeopt.kernels.decoder.native import has_bf16
from vaeopt.kernels.native import library
from vaeopt.kernels.training.recipe import LIKELIHOODS, Recipe

__all__ = ["Member", "runs", "train"]

_SHAPE = "pixels width depth latent_dim spatial likelihood sampled_kl bf16 batch"
_AMOUNTS = "gaussian_sd kl_weight rotation_sd translation_sd scale_sd"
_ARRAYS = "weights first_moment second_moment order noise pixels"
_CHUNK_BATCHES = 256  # between two of which Ctrl-C is heard


class _Recipe(ctypes.Structure):
    """``Recipe`` of layout.h: the same fields in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _SHAPE.split()),
        *((name, ctypes.c_double) for name in _AMOUNTS.split()),
        ("grid", ctypes.c_void_p),
    ]


class _Member(ctypes.Structure):
    """``Member`` of trainer.h: the same fields in the same order."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _ARRAYS.split()),
        ("seen", ctypes.c_int64),
        ("steps", ctypes.c_int64),
        ("loss", ctypes.c_double),
    ]


def runs(recipe: Recipe) -> bool:
    """Whether there are kernels that can train this."""
    return has_bf16() if recipe.bf16 else library() is not None


class Member:
    """Weights of one model and the state of its optimizer, as the kernels keep them."""

    def __init__(self, recipe: Recipe, weights: dict[str, Tensor]) -> None:
        """Start from these weights.

        Args:
            recipe: of all training that will follow.
            weights: float32, named and ordered as the model's ``state_dict``.
        """
        self._recipe = recipe
        self._shapes = {name: tuple(value.shape) for name, value in weights.items()}
        compiled, raw = _library(), _raw(recipe)
        size = compiled.vaeopt_state_floats(ctypes.byref(raw))
        self.state = torch.zeros(3, size)
        self.steps = 0
        tensors = tuple(value.detach().float().contiguous() for value in weights.values())
        self._copy(self.state[0], tensors, load=True)

    def weights(self) -> dict[str, Tensor]:
        """A copy under the names of the ``state_dict``."""
        return self.named(self.state[0])

    def first_moments(self) -> dict[str, Tensor]:
        """Adam's running means of the gradients, under the same names."""
        return self.named(self.state[1])

    def is_finite(self) -> bool:
        """Whether all weights are."""
        # Whatever is not finite stays so in a sum, which is ten times quicker than a look at each.
        return bool(torch.isfinite(self.state[0].sum()))

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """A copy of one row of the state, or of a copy of it, under the names of the weights."""
        tensors = tuple(torch.empty(shape) for shape in self._shapes.values())
        self._copy(flat, tensors, load=False)
        return dict(zip(self._shapes, tensors, strict=True))

    def _copy(self, state: Tensor, tensors: Sequence[Tensor], *, load: bool) -> None:
        pointers = (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))
        flat = ctypes.c_void_p(state.data_ptr())
        raw = _raw(self._recipe)
        _library().vaeopt_copy_state(ctypes.byref(raw), flat, pointers, ctypes.c_int64(load))


def train(
    recipe: Recipe,
    members: Sequence[Member],
    image: Tensor,
    orders: Sequence[Tensor],
    noises: Sequence[Tensor],
    pixels: Sequence[Tensor | None],
    *,
    learning_rate: float,
    threads: int,
) -> list[float]:
    """One pass of every member over its patches, batch by batch; weights are moved in place.

    Members are spread over the threads; a single member takes them all. Sums run in an order that
    depends on the number of threads for each member only.

    Args:
        recipe: model and step.
        members: made with the same recipe.
        image: all patches, float32 (n, n_pixels), in [0, 1].
        orders: of each member, which patch comes when, int64 (m,).
        noises: of each member, standard normal draws in that order, float32 (m, n_latents).
        pixels: of each member, which pixels every step looks at, int64 (steps, k), with the weight
            n_pixels / k; all of them where there is none.
        learning_rate: of Adam.
        threads: at most so many.

    Returns:
        Of each member, the sum of the losses of its patches [nats].

    Raises:
        ValueError: arrays that do not fit together.
        MemoryError: no memory, or no threads, for a step.
    """
    count = len(orders[0])
    for order, noise, seen in zip(orders, noises, pixels, strict=True):
        _check(recipe, image, order, noise, seen, count)
    losses = [0.0] * len(members)
    chunk = recipe.batch_size * _CHUNK_BATCHES
    raw = _raw(recipe)
    for first in range(0, count, chunk):
        n = min(chunk, count - first)
        entries = []
        for member, order, noise, seen in zip(members, orders, noises, pixels, strict=True):
            arrays = (*member.state, order[first:], noise[first:])
            chosen = None if seen is None else seen[first // recipe.batch_size :].data_ptr()
            k = recipe.n_pixels if seen is None else seen.shape[1]
            addresses = (*(a.data_ptr() for a in arrays), chosen)
            entries.append(_Member(*addresses, k, member.steps, 0.0))
        batch = (_Member * len(members))(*entries)
        failed = _library().vaeopt_train(
            ctypes.byref(raw),
            ctypes.c_void_p(image.data_ptr()),
            ctypes.c_int64(n),
            batch,
            ctypes.c_int64(len(members)),
            ctypes.c_double(learning_rate),
            ctypes.c_int64(threads),
        )
        if failed:
            raise MemoryError("no memory or no threads for a training step")
        for i, (member, result) in enumerate(zip(members, batch, strict=True)):
            member.steps = result.steps
            losses[i] += result.loss
    return losses


def _check(
    recipe: Recipe, image: Tensor, order: Tensor, noise: Tensor, seen: Tensor | None, count: int
) -> None:
    """The kernels would read beyond the end of an array."""
    expected = [
        (image, torch.float32, (len(image), recipe.n_pixels)),
        (order, torch.int64, (count,)),
        (noise, torch.float32, (count, recipe.n_latents)),
    ]
    if seen is not None:
        steps = -(-count // recipe.batch_size)
        k = min(max(1, seen.shape[-1]), recipe.n_pixels)
        expected.append((seen, torch.int64, (steps, k)))
    for array, dtype, shape in expected:
        if array.dtype != dtype or tuple(array.shape) != shape or not array.is_contiguous():
            raise ValueError(
                f"expected a contiguous {dtype} array of shape {shape}, "
                f"got {array.dtype} {tuple(array.shape)}"
            )
    for numbers, limit in ((order, len(image)), (seen, recipe.n_pixels)):
        if numbers is not None and len(numbers):
            first, last = (int(n) for n in torch.aminmax(numbers))
            if not 0 <= first <= last < limit:
                raise ValueError(f"expected numbers from 0 to {limit - 1}, got {first} to {last}")


def _library() -> ctypes.CDLL:
    compiled = library()
    assert compiled is not None
    compiled.vaeopt_state_floats.restype = ctypes.c_int64
    return compiled


def _raw(recipe: Recipe) -> _Recipe:
    grid = recipe.grid
    if recipe.is_spatial and (
        tuple(grid.shape) != (recipe.n_pixels, 2) or not grid.is_contiguous()
    ):
        raise ValueError(
            f"expected a grid of shape {(recipe.n_pixels, 2)}, got {tuple(grid.shape)}"
        )
    return _Recipe(
        recipe.n_pixels,
        recipe.width,
        recipe.depth,
        recipe.latent_dim,
        recipe.is_spatial,
        LIKELIHOODS.index(recipe.likelihood),
        recipe.kl_sampled,
        recipe.bf16,
        recipe.batch_size,
        recipe.gaussian_sd,
        recipe.kl_weight,
        recipe.rotation_sd,
        recipe.translation_sd,
        recipe.scale_sd,
        grid.data_ptr() if recipe.is_spatial else None,
    )
