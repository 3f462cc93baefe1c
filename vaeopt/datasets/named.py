"""Real scans by name: fetched once by URL, checked by SHA-256, and cached.

Where there is no network, ``VAEOPT_DATA_DIR`` names a folder that has the files already.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest
from vaeopt.datasets.lookup import DATA_DIR_VARIABLE, PublishedFile, data_folder, find

__all__ = ["DATA_DIR_VARIABLE", "NAMED_SCANS", "NamedScan", "fetch"]


@dataclass(frozen=True, kw_only=True)
class NamedScan:
    """Where a published scan is, what it must be, and whom to thank."""

    name: str
    url: str
    """of exactly this version of the file"""
    sha256: str
    filename: str
    channel: str
    """the channel that shows the building blocks"""
    licence: str
    citation: str
    description: str


_SCANS = (
    NamedScan(
        name="pzt-2um",
        url=(
            "https://raw.githubusercontent.com/pycroscopy/DTMicroscope/"
            "17245ba6df4299aa3f13e2a8f33d9ba48a8000b4/data/AFM/PZT_final0001.h5"
        ),
        sha256="3a85c4852f046bb514e75ce0f890775260a01c5f518231d6b1c30e9c28dd5ba0",
        filename="PZT_final0001.h5",
        channel="amplitude",
        licence="MIT, (c) 2024 DTMicroscope",
        citation="https://github.com/pycroscopy/DTMicroscope, data/AFM, commit 17245ba",
        description=(
            "PFM of a 2.8 um thick PZT film, 2 um, 256 x 256 px: herringbone ferroelastic "
            "lamellae in two orientations, and 180-degree inclusions with dark outlines"
        ),
    ),
)

NAMED_SCANS: Mapping[str, NamedScan] = MappingProxyType({scan.name: scan for scan in _SCANS})
"""every scan that :func:`fetch` knows"""


def fetch(name: str) -> Path:
    """Path of a named scan, downloaded on first use.

    With ``VAEOPT_DATA_DIR`` set, the file is looked up by name in that folder and below, and used
    where it lies: nothing is copied or downloaded. Otherwise it comes from the user's cache, or
    into it.

    Args:
        name: a key of ``NAMED_SCANS``.

    Returns:
        Path of a file whose SHA-256 is the published one.

    Raises:
        DataError: an unknown name; a download that fails; a file that is missing from
            ``VAEOPT_DATA_DIR``, or is not the published one.
    """
    if name not in NAMED_SCANS:
        raise DataError(f"unknown scan {name!r}", remedy=nearest(name, NAMED_SCANS))
    scan = NAMED_SCANS[name]
    folder = data_folder()
    if folder is None:
        return _download(scan)
    return find(
        PublishedFile(scan.filename, scan.sha256),
        folder,
        of=scan.name,
        source=f"the file of {scan.url}",
        otherwise="unset the variable to download it",
    )


def _download(scan: NamedScan) -> Path:
    """The published file in the user's cache, downloaded if it is not there."""
    import pooch  # type: ignore[import-untyped]  # here: slow to import, and rarely needed

    remedy = f"set {DATA_DIR_VARIABLE} to a folder that has {scan.filename} (SHA-256 {scan.sha256})"
    try:
        with _quiet(pooch.get_logger()):
            path = pooch.retrieve(
                scan.url,
                known_hash=f"sha256:{scan.sha256}",
                fname=scan.filename,
                path=pooch.os_cache("vaeopt"),
                progressbar=False,
            )
    except OSError as error:  # those of requests are OSErrors too, and some also ValueErrors
        raise DataError(
            f"cannot download {scan.name!r} from {scan.url} ({_reason(error)})", remedy=remedy
        ) from error
    except ValueError as error:
        raise DataError(
            f"what came from {scan.url} is not the file of {scan.name!r}: its SHA-256 differs",
            remedy=remedy,
        ) from error
    return Path(path)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep a logger from writing to the terminal; it is put back as it was."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: OSError) -> str:
    """A few words; the text of a connection error runs over many lines."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    details = f"HTTP {status}" if status is not None else error.strerror
    kind = type(error).__name__
    return f"{kind}: {details}" if details else kind
