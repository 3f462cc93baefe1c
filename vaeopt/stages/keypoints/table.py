"""Positions that somebody else has found, from a CSV file."""

from pathlib import Path

import numpy as np
import pandas as pd

from vaeopt.core.errors import DataError
from vaeopt.core.types import KeyPoints, Micrograph
from vaeopt.stages.keypoints.base import KeypointDetector

__all__ = ["Table"]


class Table(KeypointDetector, kind="csv"):
    """Points from a CSV file with a header."""

    path: str
    """file, relative to the study file"""
    row_column: str = "row_px"
    """name of the column with row positions [px]"""
    col_column: str = "col_px"
    """name of the column with column positions [px]"""

    def find(self, micrograph: Micrograph, *, folder: Path) -> KeyPoints:
        """Rows of the table in their order, strength 1.

        Raises:
            DataError: a missing or unreadable file, a missing column, text in it, or a point
                outside the image.
        """
        setting = "workflow.keypoints.path"
        try:
            frame = pd.read_csv(folder / Path(self.path).expanduser())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path!r} cannot be read as CSV: {error}", setting=setting
            ) from error
        missing = [c for c in (self.row_column, self.col_column) if c not in frame.columns]
        if missing:
            raise DataError(
                f"{self.path!r} has no column {missing[0]!r} (it has: {', '.join(frame.columns)})",
                setting=setting,
                remedy="set row_column and col_column",
            )
        try:
            yx = frame[[self.row_column, self.col_column]].to_numpy(dtype=np.float64)
        except ValueError as error:
            raise DataError(f"positions must be numbers: {error}", setting=setting) from error
        if not np.isfinite(yx).all():
            raise DataError(
                f"{self.path!r} holds empty or infinite positions",
                setting=setting,
                remedy="remove those rows",
            )
        outside = ~((yx >= -0.5) & (yx <= np.asarray(micrograph.pixels.shape) - 0.5)).all(axis=1)
        if outside.any():
            raise DataError(
                f"{int(outside.sum())} of {len(yx)} positions lie outside the image "
                f"({micrograph.pixels.shape[0]} x {micrograph.pixels.shape[1]} px)",
                setting=setting,
                remedy="check the unit (pixels) and the order (row, column)",
            )
        return KeyPoints(yx_px=yx, strength=np.ones(len(yx)))
