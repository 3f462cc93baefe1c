"""What every family of rendered scans hands out: an image and the truth behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AMBIGUOUS", "RenderedScan"]

AMBIGUOUS = -1
"""``class_map`` where a place belongs to no building block, or to more than one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderedScan:
    """One rendered scan with its truth per pixel.

    Angles are directions of the wall, stripe or spine at a place, measured from the +column axis
    towards the +row axis: a step along it is ``(rows, columns) = (sin(angle), cos(angle))``. A
    class of symmetry ``m`` looks the same after a turn by ``2 pi / m``, so its angles lie in
    ``[0, 2 pi / m)`` and are to be compared modulo ``2 pi / m``. Symmetry 0 means that a class is
    round, or has no direction at all; its angles are 0 and mean nothing.

    Raises:
        ValueError: shapes or dtypes that do not fit; a mistake of the family's author.
    """

    name: str
    pixels: NDArray[np.float32]
    """(height, width), positive, arbitrary unit"""
    pixel_size_nm: float
    """edge of a pixel [nm]"""
    class_map: NDArray[np.int16]
    """(height, width): index into ``class_names``; ``AMBIGUOUS`` where there is no one answer"""
    class_names: tuple[str, ...]
    angle_rad: NDArray[np.float32]
    """(height, width), in [0, 2 pi / symmetry of the class), or 0 where that is 0; nan where
    ``class_map`` is -1"""
    symmetry: tuple[int, ...]
    """order of the angle of each class: a turn by ``2 pi / order`` changes nothing; 0: any turn"""
    lengths_px: Mapping[str, float]
    """characteristic lengths by name [px]"""
    length_px: float
    """edge of the window that shows one building block and little else [px]"""
    yx_px: NDArray[np.float64]
    """(n, 2) places to cut patches around: what a good detector would find"""
    difficulty: str = "medium"
    """name of the preset that it was rendered with"""

    @property
    def n_classes(self) -> int:
        """Building blocks that are there to be told apart; 1 in a negative control."""
        return len(self.class_names)

    def classes_at(self, yx_px: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """True class at the nearest pixel of each place.

        Args:
            yx_px: (n, 2) places inside the image.

        Returns:
            (n,) index into ``class_names``, or ``AMBIGUOUS``.
        """
        row, column = np.rint(yx_px).astype(np.int64).T
        return np.asarray(self.class_map[row, column], dtype=np.int64)

    def angles_at(self, yx_px: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """True angle at the nearest pixel of each place, (n,) [rad]; nan where ambiguous."""
        row, column = np.rint(yx_px).astype(np.int64).T
        return np.asarray(self.angle_rad[row, column], dtype=np.float64)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        planes: tuple[tuple[str, NDArray[Any], type[np.generic]], ...] = (
            ("pixels", self.pixels, np.float32),
            ("class_map", self.class_map, np.int16),
            ("angle_rad", self.angle_rad, np.float32),
        )
        for name, plane, dtype in planes:
            if plane.ndim != 2 or plane.shape != shape or plane.dtype != dtype:
                raise ValueError(
                    f"{name} must be (height, width) = {shape} {dtype.__name__}, "
                    f"got {plane.shape} {plane.dtype}"
                )
        if self.yx_px.ndim != 2 or self.yx_px.shape[1] != 2 or self.yx_px.dtype != np.float64:
            raise ValueError(
                f"yx_px must be (n, 2) float64, got {self.yx_px.shape} {self.yx_px.dtype}"
            )
        if len(self.symmetry) != len(self.class_names):
            raise ValueError("one symmetry order per class name")
