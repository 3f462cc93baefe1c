"""HDF5: pyNSID files (as sidpy writes them from Asylum and other scans) and plain 2-D data sets."""

from pathlib import Path

import h5py
import numpy as np

from vaeopt.core.types import Floats
from vaeopt.stages.micrograph.readers.base import RawScan

__all__ = ["read"]

_NM_PER = {"m": 1e9, "mm": 1e6, "um": 1e3, "µm": 1e3, "nm": 1.0, "pm": 1e-3, "Å": 0.1}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_nsid(dataset: h5py.Dataset) -> bool:
    labels = [_text(label) for label in dataset.attrs.get("DIMENSION_LABELS", [])]
    return labels == ["x", "y"] and "quantity" in dataset.attrs


def _nsid_pixel_size_nm(dataset: h5py.Dataset) -> float | None:
    """Scan size over the number of pixels; the axis runs from 0 to the scan size inclusive."""
    axis = dataset.parent.get("x")
    if axis is None or len(axis) < 2:
        return None
    per_unit = _NM_PER.get(_text(axis.attrs.get("units", "")))
    if per_unit is None:  # some channels carry their own unit on the axis
        return None
    return float(abs(axis[-1] - axis[0]) / len(axis) * per_unit)


def read(path: Path) -> RawScan:
    """Read every 2-D channel.

    pyNSID arrays are indexed [fast, slow] with the slow axis upwards: they are transposed and
    flipped so that row 0 is the top of the usual view. Channels are called by their quantity
    (``AmplitudeRetrace``). Any other 2-D data set is taken as [row, column], called by its path.
    """
    channels: dict[str, Floats] = {}
    sizes: list[float] = []

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim != 2 or item.dtype.kind not in "fiu":
            return
        if _is_nsid(item):
            label, array = _text(item.attrs["quantity"]), np.asarray(item).T[::-1]
            size = _nsid_pixel_size_nm(item)
            if size is not None:
                sizes.append(size)
        else:
            label, array = name, np.asarray(item)
        channels[label if label not in channels else name] = array

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return RawScan(channels=channels, pixel_size_nm=float(np.median(sizes)) if sizes else None)
