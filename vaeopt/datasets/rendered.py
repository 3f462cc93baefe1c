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
    ``[0, 2 pi / m)`` and are to be compared modulo ``2 pi / m``.

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
    """(height, width), in [0, 2 pi / symmetry of the class); nan where ``class_map`` is -1"""
    symmetry: tuple[int, ...]
    """order of the angle of each class: a turn by ``2 pi / order`` changes nothing"""
    lengths_px: Mapping[str, float]
    """characteristic lengths by name [px]"""

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
        if len(self.symmetry) != len(self.class_names):
            raise ValueError("one symmetry order per class name")
