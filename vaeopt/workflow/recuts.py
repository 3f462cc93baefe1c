"""Latents of the same key points at another pose."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vaeopt.core.types import Bools, Floats, KeyPoints, Patches, Recut, WorkflowRun
from vaeopt.kernels.agreement import draw_angles, draw_shifts
from vaeopt.stages.patches import recut
from vaeopt.stages.vae import content_means
from vaeopt.workflow.cache import StageCache

__all__ = ["POSES", "recut_of"]

POSES = frozenset({"rotation", "jitter"})
"""what a reward may ask for"""
_RECUT_PIXELS = 32_000_000  # 128 MB of second patches at a time; the image is prepared for each
# Second patches of all windows and poses that are held for later trials; those of one window that
# need more are cut for each trial, block by block.
_HELD_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class _Cut:
    """Second patches of some key points."""

    pixels: Floats
    """float32 (n, size, size)"""
    inside: Bools
    """(n,)"""


def recut_of(run: WorkflowRun, name: str, cache: StageCache) -> Recut:
    """Latents of the same key points at another pose; the poses are those of the whole study.

    Args:
        run: a trained one.
        name: ``rotation`` or ``jitter``.
        cache: holds the patches, which are equal for all trials of one window.
    """
    n = len(run.keypoints)
    z_mean, inside = np.zeros((n, run.latents.latent_dim)), np.zeros(n, dtype=bool)
    for rows, cut in _blocks(run, name, cache):
        patches = Patches(pixels=cut.pixels, keypoint_index=np.arange(n)[rows])
        z_mean[rows], inside[rows] = content_means(run.vae, patches), cut.inside
    z_mean[~inside] = 0.0
    return Recut(z_mean=np.nan_to_num(z_mean, nan=0.0, posinf=0.0, neginf=0.0), inside=inside)


def _blocks(run: WorkflowRun, name: str, cache: StageCache) -> Iterator[tuple[slice, _Cut]]:
    """The second patches; the rows of the blocks are the same, cached or not."""
    n, size = len(run.keypoints), run.patches.size_px
    held = None
    if np.dtype(np.float32).itemsize * n * size**2 <= _HELD_BYTES:
        comparison = run.comparison
        points = hashlib.sha256(np.ascontiguousarray(run.keypoints.yx_px).tobytes()).hexdigest()
        held = cache.get(
            "recut",
            (name, points, size, comparison.largest_window_px, comparison.seed),
            lambda: _cut(run, name, slice(0, n)),
            most_bytes=_HELD_BYTES,
        )
    step = max(1, _RECUT_PIXELS // size**2)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        if held is None:
            yield rows, _cut(run, name, rows)
        else:
            yield rows, _Cut(held.pixels[rows], held.inside[rows])


def _cut(run: WorkflowRun, name: str, rows: slice) -> _Cut:
    points, seed = run.keypoints, run.comparison.seed
    n = len(points)
    patches, inside = recut(
        run.micrograph,
        KeyPoints(yx_px=points.yx_px[rows], strength=points.strength[rows]),
        run.patches.size_px,
        angle_rad=draw_angles(n, seed)[rows] if name == "rotation" else None,
        shift_px=draw_shifts(n, seed)[rows] if name == "jitter" else None,
        largest_window_px=run.comparison.largest_window_px,
    )
    return _Cut(patches.pixels, inside)
