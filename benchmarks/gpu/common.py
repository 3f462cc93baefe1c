"""What all sections share: sizes, the clock of a section, the file of results, how to time."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["FULL", "INVARIANCES", "SMOKE", "Plan", "Section", "Store", "interleaved", "quartiles"]

INVARIANCES = {"none": "none", "r": "rotation", "rt": "rotation+translation"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Sizes of everything that is run."""

    device: str
    smoke: bool
    step_patches: int
    sweep_patches: int
    sweep_epochs: int
    """wanted; fewer are scaled, where time is short"""
    image_px: int
    windows_px: tuple[int, ...]
    sweep_windows_px: tuple[int, ...]
    members: tuple[int, ...]
    stacked: int
    """trainings beside one of the peer: as many as the paper's sweep has"""
    repeats: int
    chunk_s: float
    """least length of what is timed at once"""
    product_size: int
    copy_bytes: int
    curve_epochs: int
    equality: tuple[int, int, int]
    """seeds, patches, epochs"""
    scored_points: int
    components: tuple[int, int]

    @property
    def cuda(self) -> bool:
        """Whether a GPU is measured."""
        return torch.device(self.device).type == "cuda"

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize()


FULL = Plan(
    device="cuda:0",
    smoke=False,
    step_patches=4096,  # 32 full batches
    sweep_patches=4000,
    sweep_epochs=1000,
    image_px=276,
    windows_px=(13, 8, 20),
    sweep_windows_px=(3, 5, 7, 9, 11, 13, 15, 17, 20),
    members=(1, 4, 16),
    stacked=27,
    repeats=7,
    chunk_s=0.05,
    product_size=8192,
    copy_bytes=2**32,
    curve_epochs=20,
    equality=(5, 1000, 60),
    scored_points=4000,
    components=(2, 10),
)
SMOKE = replace(
    FULL,
    device="cpu",
    smoke=True,
    step_patches=128,
    sweep_patches=40,
    sweep_epochs=4,
    image_px=128,
    windows_px=(4,),
    sweep_windows_px=(3,),
    members=(1, 2),
    stacked=2,
    repeats=2,
    chunk_s=0.0,
    product_size=64,
    copy_bytes=2**16,
    curve_epochs=2,
    equality=(2, 40, 1),
    scored_points=60,
    components=(2, 3),
)


class Store:
    """The file of results; every row is written as soon as it is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.results: dict[str, Any] = {"sections": {}, **known}

    def put(self, section: str, **values: Any) -> None:
        """Set values of a section."""
        self.results["sections"].setdefault(section, {}).update(values)
        self._write()

    def clear(self, section: str) -> None:
        """Forget what an earlier run has found."""
        self.results["sections"].pop(section, None)
        self._write()

    def head(self, **values: Any) -> None:
        """Set what holds for all sections."""
        self.results.update(values)
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.results, indent=1) + "\n"
        # A run that is killed while it writes must not lose what it had.
        fresh = self.path.with_suffix(".writing")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)


class Section:
    """One section at work: where its rows go and how long it may go on."""

    def __init__(self, store: Store, name: str, seconds: float) -> None:
        self._store, self._name = store, name
        self._end = time.monotonic() + seconds
        self._rows: dict[str, list[Row]] = {}

    @property
    def left_s(self) -> float:
        """Seconds until it should come to its end."""
        return self._end - time.monotonic()

    def row(self, kind: str, row: Mapping[str, Any]) -> None:
        """Add a row to a table of the section."""
        self._rows.setdefault(kind, []).append(dict(row))
        self.put(**{kind: self._rows[kind]})
        print(f"{self._name} {kind}: {_short(row)}", flush=True)

    def rows(self, kind: str) -> list[Row]:
        """Those of a table so far."""
        return self._rows.get(kind, [])

    def put(self, **values: Any) -> None:
        """Set single values."""
        self._store.put(self._name, **values)

    def has_time(self, what: str, seconds: float = 0.0) -> bool:
        """Whether there is; if not, what is left out is written down."""
        if self.left_s > seconds:
            return True
        self.row("left_out", {"what": what})
        return False

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do it, and if it fails write that down and go on with the next."""
        try:
            work()
        except Exception as error:  # the report of a long run is worth more than its exit
            text = f"{type(error).__name__}: {error}"
            self.row("failed", {"what": what, "error": text[:500]})


def _short(row: Mapping[str, Any]) -> str:
    return re.sub(r"(\d+\.\d{4})\d+", r"\1", json.dumps(row, default=str))[:300]


def interleaved(
    plan: Plan, entrants: Mapping[str, Callable[[], int]], *, left: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds per unit of work of everybody, who take turns.

    Args:
        plan: repeats, and how long to work for one of them.
        entrants: each does some work and returns how many units; done twice to warm up, which
            compiles kernels and captures graphs.
        left: seconds that are left; turns end early, but there are three of them.
    """
    times: dict[str, list[float]] = {label: [] for label in entrants}
    repeat: dict[str, int] = {}
    for label, work in entrants.items():
        work()
        plan.synchronize()
        start = time.perf_counter()
        work()
        plan.synchronize()
        took = time.perf_counter() - start
        repeat[label] = min(200, 1 + int(plan.chunk_s / max(took, 1e-6)))
    for turn in range(plan.repeats):
        if turn >= 3 and left() < 0:
            break
        for label, work in entrants.items():
            plan.synchronize()
            start = time.perf_counter()
            units = sum(work() for _ in range(repeat[label]))
            plan.synchronize()
            times[label].append((time.perf_counter() - start) / units)
    return times


def quartiles(values: list[float]) -> list[float]:
    """Median, lower and upper quartile."""
    return [float(v) for v in np.percentile(values, [50, 25, 75])]
