"""Published files in a folder of the user: found by name, there or below, checked by SHA-256."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vaeopt.core.errors import DataError

__all__ = ["DATA_DIR_VARIABLE", "PublishedFile", "data_folder", "find"]

DATA_DIR_VARIABLE = "VAEOPT_DATA_DIR"
"""environment variable: a folder to look in, and below"""


@dataclass(frozen=True)
class PublishedFile:
    """A file that is known by its name and its content."""

    filename: str
    sha256: str


def data_folder() -> Path | None:
    """The folder that the environment names; None where the variable is unset or empty."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    return Path(folder) if folder else None


def find(
    file: PublishedFile, folder: Path, *, of: str, source: str, otherwise: str | None = None
) -> Path:
    """The published file in ``folder`` or below it.

    Args:
        file: what to look for.
        folder: where to start.
        of: name of the data set that needs the file, for messages.
        source: what to put there, for messages.
        otherwise: another way out than putting the file there, for messages.

    Returns:
        Path of a file of that name whose SHA-256 is the published one.

    Raises:
        DataError: no such folder, no file of that name, or only others of that name.
    """
    ending = f", or {otherwise}" if otherwise else ""
    if not folder.is_dir():
        raise DataError(
            f"{str(folder)!r} is not a folder",
            setting=DATA_DIR_VARIABLE,
            remedy=f"set it to a folder that has {file.filename}{ending}",
        )
    first: tuple[Path, str] | None = None
    for path in _candidates(file.filename, folder):
        sha256 = _sha256(path)
        if sha256 == file.sha256:
            return path
        first = first or (path, sha256)
    if first is None:
        raise DataError(
            f"no {file.filename} in {str(folder)!r} or below",
            setting=DATA_DIR_VARIABLE,
            remedy=f"put {source} there{ending}",
        )
    raise DataError(
        f"{str(first[0])!r} is not the file of {of!r}: "
        f"expected SHA-256 {file.sha256}, got {first[1]}",
        setting=DATA_DIR_VARIABLE,
        remedy=f"replace it by {source}{ending}",
    )


def _candidates(filename: str, folder: Path) -> Iterator[Path]:
    """Files of that name: the one directly in the folder first, as walking below may be slow."""
    direct = folder / filename
    if direct.is_file():
        yield direct
    for path in sorted(folder.rglob(filename)):
        if path != direct and path.is_file():
            yield path


def _sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r}: {error.strerror}", setting=DATA_DIR_VARIABLE
        ) from error
