"""Do many processes finish exactly the trials that were wanted, and how fast?

    python benchmarks/storage/workers.py [--trials 48] [--workers 1 2 4 8] [--quick]

Studies of tiny trials (48 x 48 px, 2 epochs) with TPE, and a grid of 12 points, each joined by 1,
2, 4 and 8 processes at the same moment: on a SQLite file, and on a PostgreSQL server of its own,
``fsync`` off. Every process computes with one thread. Counted are errors, trials that are missing
or whose files cannot be read, seed numbers (of the grid: points) that were told twice, and trials
beyond ``n_trials``. Seconds begin when all processes have imported everything, before they open the
storage and the image, and end when the last has ended.

Writes ``benchmarks/results/workers.json`` and prints the tables.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.postgres import running  # noqa: E402  # the folder of the project is on the path now
from tests.study.crowd import Crowd, crowd  # noqa: E402
from tests.study.test_study_batches import REAL  # noqa: E402
from tests.study.tiny import ONE, points, write_study  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "workers.json"
GRID = """\
"patches.size_px" = { low = 3, high = 9, step = 2 }
"vae.invariances" = { choices = [[], ["rotation"], ["translation"]] }
"""
POINTS = 12


@contextlib.contextmanager
def storages() -> Iterator[dict[str, Any]]:
    """URL of a new storage, by its kind."""
    with running() as server:
        yield {"SQLite": lambda: None, "PostgreSQL": server.database}


def row(seen: Crowd, wanted: int, **words: Any) -> dict[str, Any]:
    """Counts of one study."""
    finished = points(seen.trials)
    return {
        **words,
        "wanted": wanted,
        "finished": seen.finished,
        "seconds": round(seen.seconds, 2),
        "trials_per_s": round(seen.finished / seen.seconds, 2),
        "errors": seen.errors,
        "lost": max(0, wanted - seen.finished) + seen.files_lost + seen.unfinished,
        "seeds_told_twice": seen.repeated,
        "beyond": max(0, seen.finished - wanted),
        "points_told_twice": len(finished) - len({parameters for parameters, _ in finished}),
        "by_worker": seen.by_worker,
    }


def study(place: Path, name: str, sampler: str, n_trials: int) -> Path:
    """A new study in a folder of its own."""
    search = GRID if "grid" in sampler else REAL
    return write_study(
        place / name, name=name, rewards=ONE, search=search, sampler=sampler, n_trials=n_trials
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--quick", action="store_true", help="few trials, 2 and 8 workers")
    words = parser.parse_args()
    if words.quick:
        words.trials, words.workers = 12, [2, 8]
    rows = []
    with tempfile.TemporaryDirectory() as folder, storages() as urls:
        for kind, url in urls.items():
            for workers in words.workers:
                for sampler, wanted in (('"tpe"', words.trials), ('"grid"', POINTS)):
                    name = f"{kind}-{workers}-{sampler.strip(chr(34))}".lower()
                    n_trials = wanted if sampler == '"tpe"' else 3 * POINTS
                    made = study(Path(folder), name, sampler, n_trials)
                    seen = crowd(made, workers, url())
                    given = {"storage": kind, "workers": workers, "sampler": sampler.strip('"')}
                    rows.append(row(seen, wanted, **given))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    load = os.getloadavg()[1]
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load_5_min": load}
    RESULTS.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    for sampler in ("tpe", "grid"):
        print(table([each for each in rows if each["sampler"] == sampler]))


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    twice = "points_told_twice" if rows[0]["sampler"] == "grid" else "seeds_told_twice"
    head = "| storage | workers | trials/s | finished | errors | lost | told twice | beyond |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for each in rows:
        lines.append(
            f"| {each['storage']} | {each['workers']} | {each['trials_per_s']} | "
            f"{each['finished']} of {each['wanted']} | {len(each['errors'])} | {each['lost']} | "
            f"{each[twice]} | {each['beyond']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
