"""How many quick trials a second do several processes store, and is any lost or run twice?

Each process asks, suggests three parameters, sets two attributes and tells, as fast as it can,
first trials that wait, then new ones. Storages: SQLite as Optuna opens it, with a longer timeout,
with a write-ahead log, with each way to sync; as vaeopt opens it, with its lock; PostgreSQL; a
journal; a gRPC proxy before PostgreSQL. Writes benchmarks/results/writers.json.

    python benchmarks/storage/writers.py --processes 1 2 4 8 --trials 100
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.postgres import running  # the folder of the project is on the path now
from vaeopt.study.storage import exclusive, open_storage

RESULTS = Path(__file__).parents[1] / "results" / "writers.json"
SPAWN = multiprocessing.get_context("spawn")
WAITING = 20


def plain(url: str) -> BaseStorage:
    """As Optuna opens a URL."""
    return optuna.storages.get_storage(url)


def sqlite_with(*pragmas: str, timeout: int = 60) -> Callable[[str], BaseStorage]:
    """SQLite with these settings on every connection."""

    def say(connection: Any, record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def opened(url: str) -> BaseStorage:
        engine = {"connect_args": {"timeout": timeout}, "pool_events": [(say, "connect")]}
        return optuna.storages.get_storage(RDBStorage(url, engine_kwargs=engine))

    return opened


WAL = "journal_mode = WAL"
KINDS: dict[str, tuple[Callable[[str], BaseStorage], bool]] = {
    "sqlite, as Optuna opens it": (plain, False),
    "sqlite, timeout 60 s": (sqlite_with(), False),
    "sqlite, WAL": (sqlite_with(WAL), False),
    "sqlite, WAL, synchronous NORMAL": (sqlite_with(WAL, "synchronous = NORMAL"), False),
    "sqlite, WAL, NORMAL, lock": (sqlite_with(WAL, "synchronous = NORMAL"), True),
    "sqlite, as vaeopt opens it": (open_storage, True),
    "journal": (open_storage, True),
    "postgresql, as Optuna opens it": (plain, False),
    "postgresql, as vaeopt opens it": (open_storage, True),
    "grpc before postgresql": (open_storage, True),
}


def _asks(study: optuna.Study, locked: bool, ran: list[int]) -> None:
    with exclusive(study._storage) if locked else nullcontext():
        trial = study.ask()
    x = [trial.suggest_float(name, 0, 1) for name in "abc"]
    trial.set_user_attr("who", multiprocessing.current_process().name)
    trial.set_user_attr("numbers", list(range(50)))
    ran.append(trial.number)
    study.tell(trial, sum(x))


def _works(kind: str, url: str, n: int, together: Any, outcome: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened, locked = KINDS[kind]
    errors: list[str] = []
    ran: list[int] = []
    study = optuna.load_study(
        study_name="writers", storage=opened(url), sampler=optuna.samplers.RandomSampler()
    )
    together.wait()
    start = time.monotonic()
    for _ in range(n):
        try:
            _asks(study, locked, ran)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error.__cause__ or error}"[:200])
    outcome.put((time.monotonic() - start, ran, errors))


def measured(kind: str, url: str, processes: int, trials: int) -> dict[str, Any]:
    """One storage with one number of processes."""
    created = open_storage if url.startswith(("journal", "grpc")) else KINDS[kind][0]
    storage = open_storage(url, create=True) if created is open_storage else created(url)
    study = optuna.create_study(study_name="writers", storage=storage)
    if kind == "sqlite, as vaeopt opens it":
        from vaeopt.study.storage import sqlite

        sqlite.shared(Path(url.removeprefix("sqlite:///")))
    for place in range(WAITING):
        study.enqueue_trial({"a": place / WAITING})
    together, outcome = SPAWN.Barrier(processes), SPAWN.Queue()
    share = trials // processes
    crew = [
        SPAWN.Process(target=_works, args=(kind, url, share, together, outcome))
        for _ in range(processes)
    ]
    for process in crew:
        process.start()
    told = [outcome.get(timeout=1200) for _ in crew]
    for process in crew:
        process.join()
    seconds = max(each[0] for each in told)
    ran = [number for each in told for number in each[1]]
    errors = [error for each in told for error in each[2]]
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return {
        "storage": kind,
        "processes": processes,
        "trials_per_s": round(len(complete) / seconds, 1),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "lost": share * processes - len(complete),
        "run_twice": len(ran) - len(set(ran)),
    }


@contextmanager
def _served(url: str) -> Iterator[str]:
    from optuna.storages._grpc.server import make_server

    server = make_server(open_storage(url, create=True), "127.0.0.1", 0)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(grace=1).wait()


def fsync_ms(folder: Path) -> float:
    """Median time to sync a page of a file here: what every commit pays at least."""
    import os

    times = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    """Measure all, print as it goes, write the results."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    words.add_argument("--trials", type=int, default=100)
    words.add_argument("--only", default="")
    given = words.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: list[dict[str, Any]] = []
    with running() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synced = fsync_ms(folder)
        for kind in (kind for kind in KINDS if given.only in kind):
            for processes in given.processes:
                place = f"{len(rows)}"
                if kind.startswith("sqlite"):
                    row = measured(kind, f"sqlite:///{folder}/{place}.db", processes, given.trials)
                elif kind == "journal":
                    row = measured(
                        kind, f"journal:///{folder}/{place}.log", processes, given.trials
                    )
                elif kind.startswith("postgresql"):
                    url = server.database().replace("postgresql:", "postgresql+psycopg:")
                    row = measured(kind, url, processes, given.trials)
                else:
                    with _served(server.database()) as url:
                        row = measured(kind, url, processes, given.trials)
                rows.append(row)
                print(json.dumps(row), flush=True)
    result = {
        "machine": f"{platform.machine()}, {multiprocessing.cpu_count()} cores",
        "python": sys.version.split()[0],
        "optuna": optuna.__version__,
        "sqlalchemy": sqlalchemy.__version__,
        "fsync_ms": round(synced, 3),
        "trials": given.trials,
        "waiting": WAITING,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
