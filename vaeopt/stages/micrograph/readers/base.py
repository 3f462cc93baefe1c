"""What a reader returns, and the choice of reader by file ending."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from vaeopt.core.errors import DataError
from vaeopt.core.types import Floats

__all__ = ["RawScan", "read"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawScan:
    """Channels of a scan as an ordinary viewer shows them: (row, column), row 0 at the top."""

    channels: Mapping[str, Floats]
    pixel_size_nm: float | None


_READERS = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npz": "numpy_files",
    ".npy": "numpy_files",
    ".png": "pictures",
    ".tif": "pictures",
    ".tiff": "pictures",
    ".jpg": "pictures",
    ".jpeg": "pictures",
    ".bmp": "pictures",
}

# What the libraries behind the readers raise for a damaged file; Pillow's is a SyntaxError.
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read(path: Path) -> RawScan:
    """Read all channels of a file.

    Raises:
        DataError: no such file, an unknown ending, or a file that its reader cannot read.
    """
    setting = "image.path"
    if not path.is_file():
        what = "is a folder, not an image" if path.is_dir() else "does not exist"
        raise DataError(
            f"{str(path)!r} {what}",
            setting=setting,
            remedy="give the path of an image, relative to the study file",
        )
    name = _READERS.get(path.suffix.lower())
    if name is None:
        known = " ".join(sorted(_READERS))
        raise DataError(
            f"no reader for {path.suffix or 'a file without an ending'} ({path.name})",
            setting=setting,
            remedy=f"convert it to one of: {known}",
        )
    reader = import_module(f"vaeopt.stages.micrograph.readers.{name}")
    try:
        scan = reader.read(path)
    except _DAMAGED as error:
        raise DataError(
            f"{path.name} cannot be read as {path.suffix}: {error}",
            setting=setting,
            remedy="check that the file is whole and of the kind its ending says",
        ) from error
    if not isinstance(scan, RawScan) or not scan.channels:
        raise DataError(
            f"{path.name} holds no two-dimensional image",
            setting=setting,
            remedy="give a file with at least one 2-D channel",
        )
    return scan
