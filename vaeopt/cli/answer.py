"""What a verb answers: lines for people, or one JSON document for machines."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any

__all__ = ["answer", "as_json", "plain"]


def answer(arguments: argparse.Namespace, document: Any, lines: Iterable[str]) -> None:
    """Print the document where ``--json`` was given, or else the lines; nothing else on stdout."""
    if arguments.json:
        print(as_json(document))
        return
    for line in lines:
        print(line)


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """Strict JSON: what is no finite number is null.

    >>> as_json({"value": float("nan"), "files": (PurePath("a"),)}, indent=None)
    '{"value": null, "files": ["a"]}'
    """
    return json.dumps(plain(document), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """The same in dictionaries, lists, strings, numbers, true, false and null.

    Raises:
        TypeError: something of another kind.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # a number of NumPy
        value = value.item()
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):  # a table of pandas
        value = value.to_dict("records")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(inner) for inner in value]
    raise TypeError(f"{type(value).__name__} is not for JSON")
