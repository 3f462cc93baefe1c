"""Key points and classes as a CSV table: what detector ``csv`` reads."""

import csv
from pathlib import Path

from vaeopt.core.errors import DataError
from vaeopt.datasets.reference import ReferenceScan
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

__all__ = ["write_keypoints"]


def write_keypoints(scan: RenderedScan | ReferenceScan, path: Path | str) -> None:
    """Write the places of a scan for a study that is to use the same ones.

    Columns: ``row_px``, ``col_px`` [px], ``class`` (-1 where ambiguous) and ``class_name`` (empty
    where ambiguous). Positions are written in full: reading them gives the same numbers. A file
    that is there already is replaced.

    Args:
        scan: a rendered or a reference scan.
        path: of the table.

    Raises:
        DataError: the file cannot be written.
    """
    places, classes = scan.yx_px.tolist(), scan.classes_at(scan.yx_px).tolist()
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row_px", "col_px", "class", "class_name"])
            for (row, column), index in zip(places, classes, strict=True):
                name = "" if index == AMBIGUOUS else scan.class_names[index]
                writer.writerow([row, column, index, name])
    except OSError as error:
        raise DataError(
            f"cannot write key points to {str(path)!r}: {error.strerror}",
            remedy="give a file in a folder that exists and may be written to",
        ) from error
