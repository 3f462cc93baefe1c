"""What does SQLite's setting ``synchronous`` cost a trial, and what does a power cut take?

With a write-ahead log, NORMAL never damages a database, but a power cut takes the commits that were
not synced yet, finished trials too; FULL syncs every commit. OFF, which may damage a database, is
here for comparison. One process; the settings take turns. Writes benchmarks/results/sync.json.

    python benchmarks/storage/sync.py
"""

import json
import platform
import sqlite3
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from writers import fsync_ms  # beside this one

from vaeopt.study.storage import open_storage, sqlite

RESULTS = Path(__file__).parents[1] / "results" / "sync.json"
MODES = ("OFF", "NORMAL", "FULL")
TRIALS = 100


def _trial(study: optuna.Study) -> None:
    trial = study.ask()
    for name in "abc":
        trial.suggest_float(name, 0, 1)
    trial.set_user_attr("who", "me")
    trial.set_user_attr("numbers", list(range(50)))
    study.tell(trial, 1.0)


def _opened(folder: Path, mode: str) -> optuna.Study:
    sqlite.SYNCHRONOUS = mode
    path = folder / f"{mode}.db"
    storage = open_storage(f"sqlite:///{path}", create=True)
    study = optuna.create_study(
        study_name="sync", storage=storage, sampler=optuna.samplers.RandomSampler()
    )
    sqlite.shared(path)
    _trial(study)  # opens its connection while this is the mode
    return study


def main() -> None:
    """Measure, print, write the results."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synced = fsync_ms(folder)
        studies = {mode: _opened(folder, mode) for mode in MODES}
        times: dict[str, list[float]] = {mode: [] for mode in MODES}
        for _ in range(TRIALS):
            for mode, study in studies.items():
                start = time.perf_counter()
                _trial(study)
                times[mode].append(1000 * (time.perf_counter() - start))
    result: dict[str, Any] = {
        "machine": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
        "optuna": optuna.__version__,
        "fsync_ms": round(synced, 2),
        "trials": TRIALS,
        "commits": 8,
        "ms_per_trial": {
            mode: [round(cut, 1) for cut in statistics.quantiles(found, n=4)]
            for mode, found in times.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
