"""NumPy files: ``.npy`` with one image, ``.npz`` with named ones. Never unpickles."""

from pathlib import Path

import numpy as np

from vaeopt.stages.micrograph.readers.base import RawScan

__all__ = ["read"]


def read(path: Path) -> RawScan:
    """Read every 2-D numeric array; ``scan_size_m`` in an ``.npz`` gives the pixel size."""
    with path.open("rb") as file:  # NumPy leaves a damaged archive open when it opens it itself
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {path.stem: loaded}
        else:
            arrays = {name: loaded[name] for name in loaded.files}
    channels = {n: a for n, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "fiu"}
    size = arrays.get("scan_size_m")
    pixel_size_nm = None
    if size is not None and size.size == 1 and channels:
        columns = next(iter(channels.values())).shape[1]
        pixel_size_nm = float(size) / columns * 1e9
    return RawScan(channels=channels, pixel_size_nm=pixel_size_nm)
