"""What is kept of a benchmark: a file of lines per scene, appended to and never half believed."""

import fcntl
import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaeopt.core.errors import ChangedError, Mistake, StudyError
from vaeopt.study.guard import unequal
from vaeopt.truth.file import Scene

__all__ = [
    "Header",
    "Row",
    "SceneRows",
    "claimed",
    "configuration",
    "read_rows",
    "refuse_changes",
    "rounded",
]

_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished training beside the truth."""

    params: Mapping[str, Any]
    """searched settings of the configuration, as stored"""
    seed: int
    """number of the training of this configuration, from 0"""
    margin: float
    """of the latent filter; collapsed if positive"""
    truth: Mapping[str, Any]
    """fields of ``Truth``"""
    scores: Mapping[str, float | None]
    """every column"""
    epochs: int
    seconds: float
    """of walk and scores [s]; the only field that differs when the training is repeated"""
    reason: str = ""
    """why it has collapsed"""

    @property
    def feasible(self) -> bool:
        """Whether the latents are healthy."""
        return self.margin <= 0

    @property
    def key(self) -> str:
        """Configuration and training."""
        return f"{configuration(self.params)}#{self.seed}"

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(rounded(vars(self)), separators=(",", ":"), allow_nan=False)


def configuration(params: Mapping[str, Any]) -> str:
    """A configuration in words that are the same for the same parameters."""
    return json.dumps(dict(sorted(params.items())), separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Header:
    """First line of a file: what all its rows share."""

    scene: Scene
    identity: Mapping[str, Any]
    """what must not change while the file grows"""
    facts: Mapping[str, Any]
    """of the scene: classes, length, key points"""

    def line(self) -> str:
        """One line of JSON."""
        table = {
            "scene": vars(self.scene),
            "facts": dict(self.facts),
            "identity": dict(self.identity),
        }
        return json.dumps(table, separators=(",", ":"), sort_keys=True)


@dataclass
class SceneRows:
    """The file of one scene.

    Only one process writes to it. A line that was cut off by a kill is dropped at the next start.
    """

    path: Path
    header: Header | None = None
    """None before anything was trained"""
    rows: dict[str, Row] = field(default_factory=dict)
    """by key, in the order of the file"""

    def begin(self, header: Header) -> None:
        """Write the first line of a new file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(self.path, [header.line()])
        self.header, self.rows = header, {}

    def append(self, row: Row) -> None:
        """Add a finished training; it is on the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(row.line() + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows[row.key] = row

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Other rows in the place of those that are there, all or none of them."""
        assert self.header is not None
        self.rows = {row.key: row for row in rows}
        _replace(self.path, [self.header.line(), *(row.line() for row in self.rows.values())])


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep other processes from writing to the file of a scene until the block ends.

    Raises:
        StudyError: another process has claimed it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the kernel
        except BlockingIOError as error:
            raise StudyError(
                f"another process works on {str(path)!r}",
                remedy="wait for it, or give each process families of its own with --only",
            ) from error
        yield
    finally:
        os.close(descriptor)


def read_rows(path: Path, *, repair: bool = False) -> SceneRows:
    """The file of a scene as far as it is whole; an empty one if there is none.

    Args:
        path: of the file.
        repair: also cut a torn last line off in the file, so that the next one starts on a line of
            its own; for whoever has claimed it, as others may be writing.

    Raises:
        StudyError: a whole line is not what we write.
    """
    found = SceneRows(path)
    if not path.is_file():
        return found
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if repair and whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], start=1):
        try:
            table = json.loads(line.decode("utf-8"))
            if found.header is None:
                found.header = _header(table)
                continue
            row = _row(table)
            found.rows[row.key] = row
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged(path, number) from error
    return found


def refuse_changes(
    rows: SceneRows,
    identity: Mapping[str, Any],
    *,
    parts: Sequence[str] = ("training", "scoring"),
    image: Mapping[str, Any] | None = None,
) -> None:
    """Refuse to go on with other settings than those that the rows were made with.

    Args:
        rows: of a scene, perhaps none yet.
        identity: of the settings as they are now.
        parts: of it that count.
        image: what is done to the image as it is now; rows that do not tell what was done to theirs
            are known by the checksum of it alone.

    Raises:
        ChangedError: names everything that differs.
    """
    if rows.header is None:
        return
    was, now = rows.header.identity, json.loads(json.dumps(identity))
    stored, now = ({part: table[part] for part in parts} for table in (was, now))
    if image is not None and "image" in rows.header.facts:
        stored["image"], now["image"] = rows.header.facts["image"], dict(image)
    differences = [Mistake((one.path,), str(one)) for one in unequal(stored, now)]
    if differences:
        raise ChangedError(
            f"rows of {rows.header.scene.name!r} were made with other settings",
            differences,
            setting=str(rows.path),
            remedy="put the settings back, use another folder, or delete the rows",
        )


def rounded(value: Any) -> Any:
    """Plain JSON with numbers of six digits; what is no finite number is null.

    >>> rounded({"a": 0.123456789, "b": [float("nan"), 3, True]})
    {'a': 0.123457, 'b': [None, 3, True]}
    """
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _header(table: Any) -> Header:
    """The first line of a file; ValueError, TypeError or KeyError if it is not one."""
    header = Header(**{**table, "scene": Scene(**table["scene"])})
    classes = header.facts["classes"]
    if not (isinstance(classes, list) and classes):
        raise ValueError("no classes")
    training, scoring = (header.identity[part] for part in ("training", "scoring"))
    if not all(isinstance(one, dict) for one in (training, scoring, training["comparison"])):
        raise ValueError("no identity")
    if not all(isinstance(training[f"{name}_sha256"], str) for name in ("image", "keypoints")):
        raise ValueError("no checksums")
    return header


def _row(table: Any) -> Row:
    """Any other line; ValueError or TypeError if it is not one."""
    row = Row(**table)
    values = [*row.truth.values(), *row.scores.values()]
    if not (
        isinstance(table["params"], dict)
        and isinstance(table.get("reason", ""), str)
        and all(isinstance(table[count], int) for count in ("seed", "epochs"))
        and all(map(_is_number, (row.margin, row.seconds)))
        and all(value is None or _is_number(value) for value in values)
    ):
        raise ValueError("no row")
    return row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _damaged(path: Path, number: int) -> StudyError:
    if number == 1:  # nothing below it means anything without it
        return StudyError(
            f"the first line of {str(path)!r} is not that of a file of a truth benchmark",
            remedy="delete the file, and what it held is trained again",
        )
    return StudyError(
        f"line {number} of {str(path)!r} is not a row of a truth benchmark",
        remedy="remove the line, and what it held is trained again",
    )


def _replace(path: Path, lines: list[str]) -> None:
    unfinished = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
