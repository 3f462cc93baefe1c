"""A published scan with key points whose classes are known from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.datasets.rendered import AMBIGUOUS

__all__ = ["ReferenceScan"]

_SAME_PLACE_PX = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceScan:
    """One measured scan, places on it, and what each place is.

    The classes are derived: from another channel of the scan, from the geometry of the lattice,
    or from what the authors of the scan have marked. They are good to compare with, and are no
    independent truth; ``limits`` says what to beware of. Angles are not known.

    Raises:
        ValueError: shapes, dtypes or classes that do not fit; a mistake of the table's author.
    """

    name: str
    path: Path
    """file of the image: what ``image.path`` of a study takes"""
    channel: str
    """channel of that file that is shown in ``pixels``"""
    pixels: NDArray[np.float32]
    """(height, width), unit of the file, row 0 on top"""
    pixel_size_nm: float | None
    """edge of a pixel [nm]; None where nobody says"""
    yx_px: NDArray[np.float64]
    """(n, 2) places to cut patches around; fractions where sites were fitted"""
    classes: NDArray[np.int64]
    """(n,) index into ``class_names``, or ``AMBIGUOUS``"""
    class_names: tuple[str, ...]
    lengths_px: Mapping[str, float]
    """characteristic lengths by name [px]; empty where none is known"""
    length_px: float | None
    """edge of the window that shows one building block and little else [px], where known"""
    derived_from: str
    """what the classes come from"""
    limits: str
    """what to beware of when comparing with them"""
    licence: str
    citation: str

    @property
    def n_classes(self) -> int:
        """Building blocks that are there to be told apart."""
        return len(self.class_names)

    def classes_at(self, yx_px: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Class of the key point at each place.

        Args:
            yx_px: (n, 2) places, such as the key points of a run.

        Returns:
            (n,) index into ``class_names``; ``AMBIGUOUS`` where it is so, and where no key point
            lies within one pixel.
        """
        from scipy.spatial import cKDTree

        distance, nearest = cKDTree(self.yx_px).query(np.asarray(yx_px, dtype=np.float64))
        found = self.classes[np.minimum(nearest, len(self.classes) - 1)]
        return np.where(distance <= _SAME_PLACE_PX, found, AMBIGUOUS)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise ValueError(
                f"pixels must be (height, width) float32, "
                f"got {self.pixels.shape} {self.pixels.dtype}"
            )
        n = len(self.yx_px)
        if n == 0 or self.yx_px.shape != (n, 2) or self.yx_px.dtype != np.float64:
            raise ValueError(
                f"yx_px must be (n, 2) float64 with n of 1 or more, "
                f"got {self.yx_px.shape} {self.yx_px.dtype}"
            )
        edge = np.asarray(self.pixels.shape) - 0.5
        if not ((self.yx_px >= -0.5) & (self.yx_px <= edge)).all():
            raise ValueError("a place lies outside the image")
        if self.classes.shape != (n,) or self.classes.dtype != np.int64:
            raise ValueError(
                f"classes must be ({n},) int64, got {self.classes.shape} {self.classes.dtype}"
            )
        if not ((self.classes >= AMBIGUOUS) & (self.classes < self.n_classes)).all():
            raise ValueError(f"classes must be {AMBIGUOUS} .. {self.n_classes - 1}")
