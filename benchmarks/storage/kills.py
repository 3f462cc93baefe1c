"""Does a study that is killed again and again end as one that never was?

    python benchmarks/storage/kills.py [--kills 50] [--seed 0] [--samplers tpe ...]

For every sampler, one trial and three trials at once: a process of its own runs a study, gets
SIGKILL at a random instant, and another one goes on, until the study is finished; the next study
has another seed. Each is compared with the same study run once without interruption: parameters,
values and constraints of every trial, bit for bit. After each kill SQLite checks its file, and what
was finished before must be there unchanged. In the end the files of all trials are read.

Writes ``benchmarks/results/kills.json`` and prints a table.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.study.killing import Storm  # noqa: E402  # the folder of the project is on the path now
from tests.study.test_study_batches import FINITE, REAL, SAMPLERS  # noqa: E402
from tests.study.tiny import write_study  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "kills.json"
N_TRIALS = 12


def storm(kind: str, at_once: int, kills: int, seed: int) -> dict[str, Any]:
    """Kills of studies with one sampler."""
    found = Storm(np.random.default_rng([seed, at_once, sum(kind.encode())]))
    search = FINITE if kind in ("grid", "brute-force") else REAL
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        while found.kills < kills:
            study = write_study(
                Path(place) / f"study-{found.studies}",
                search=search,
                sampler=SAMPLERS[kind],
                n_trials=N_TRIALS,
                seed=seed + found.studies,
                at_once=at_once,
            )
            found.strike(study, most=kills)
    table = asdict(found)
    table.pop("rng")
    table["waits_s"] = [round(wait, 3) for wait in found.waits_s]
    return {
        "sampler": kind,
        "trials_at_once": at_once,
        "seconds": round(time.monotonic() - begun),
        **table,
    }


def beside(kills: int, seed: int) -> dict[str, Any]:
    """Kills of one of four processes that share studies on SQLite."""
    found = Storm(np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as place:
        while found.kills < kills:
            study = write_study(
                Path(place) / f"study-{found.studies}",
                search=REAL,
                sampler=SAMPLERS["tpe"],
                n_trials=24,
                seed=seed + found.studies,
            )
            found.strike_some(study, workers=4, longest_s=1.5, kills=min(25, kills - found.kills))
    table = asdict(found)
    table.pop("rng")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of every row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS), help="others stay")
    arguments = parser.parse_args()
    held = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = [row for row in held if row["sampler"] not in arguments.samplers]
    print("sampler      at once  kills  in a trial  studies  lost  files lost  repeated  identical")
    for kind in arguments.samplers:
        for at_once in (1, 3):
            row = storm(kind, at_once, arguments.kills, arguments.seed)
            rows.append(row)
            inside = row["within"].get("in a trial", 0)
            print(
                f"{kind:<12} {at_once:>7} {row['kills']:>6} {inside:>11}"
                f" {row['studies']:>8} {row['lost']:>5} {row['files_lost']:>11}"
                f" {row['repeated']:>9} {row['identical']:>6} of {row['studies']}",
                flush=True,
            )
            _write({"n_trials": N_TRIALS, "rows": rows})
    crowd = beside(arguments.kills, arguments.seed)
    print(
        f"4 processes, {crowd['kills']} kills, {crowd['studies']} studies: lost {crowd['lost']}, "
        f"repeated {crowd['repeated']}, short {crowd['short']}, beyond {crowd['beyond']}"
    )
    _write({"n_trials": N_TRIALS, "rows": rows, "four_processes": crowd})


def _write(found: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
