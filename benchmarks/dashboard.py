"""What do figures cost that are saved into a study of 300 trials?

Drawing and writing them, the growth of the database, and how much longer it takes to read the
attributes of the study among which they are kept, which Optuna does up to a few times per trial. In
pieces as vaeopt writes them and as optuna-dashboard does. Writes benchmarks/results/dashboard.json.

    python benchmarks/dashboard.py --study STUDY

STUDY is a finished study in a SQLite file, whose trials are repeated with values that differ.
"""

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import vaeopt as vo
from vaeopt.report.dashboard import cards
from vaeopt.study.storage import closed, open_storage
from vaeopt.study.storage.bulk import add_trials

RESULTS = Path(__file__).parent / "results" / "dashboard.json"
PIECES = {"vaeopt": 16_000, "optuna-dashboard": 2_045}
TRIALS, ROUNDS = 300, 20


def _copied(source: optuna.Study, path: Path) -> optuna.Study:
    """The trials of a study again and again, each with values of its own."""
    rng = np.random.default_rng(0)
    held = source.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    trials = []
    for number in range(TRIALS):
        trial = copy.deepcopy(held[number % len(held)])
        trial.number = number
        trial.values = [value * rng.uniform(1, 1.05) for value in trial.values]
        trial.user_attrs.pop("vaeopt:repeat", None)
        trials.append(trial)
    storage = open_storage(f"sqlite:///{path}", create=True)
    study = optuna.create_study(storage=storage, directions=source.directions)
    study.set_metric_names(source.metric_names or [])
    for key, value in source.user_attrs.items():
        study.set_user_attr(key, value)
    add_trials(storage, study._study_id, trials)
    return study


def _ms(step: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median processor time of this thread."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        step()
        times.append(1000 * (time.thread_time() - start))
    return round(statistics.median(times), 2)


def _size(study: optuna.Study, path: Path) -> int:
    closed(study._storage)
    return path.stat().st_size


def _measure(source: optuna.Study, path: Path) -> dict[str, Any]:
    study = _copied(source, path)
    study.get_trials()
    before = _size(study, path)

    def read() -> object:
        return study._storage.get_study_system_attrs(study._study_id)

    plain = _ms(read)
    drawn: list[cards.Card] = []
    draw = _ms(lambda: drawn.extend(cards.cards_of(cards.panels_of(study))), rounds=1)
    other = [card._replace(json=card.json.replace(":", ": ", 1)) for card in drawn]
    pair = [drawn, other]

    def write() -> None:
        pair.reverse()
        cards.save_cards(study, pair[0])  # every one of them differs

    written = _ms(write)
    sizes = [len(card.json) for card in drawn]
    return {
        "figures": len(drawn),
        "largest_kB": round(max(sizes) / 1000, 1),
        "all_kB": round(sum(sizes) / 1000, 1),
        "draw_ms": draw,
        "write_ms": written,
        "growth_kB": round((_size(study, path) - before) / 1000),
        "database_kB": round(before / 1000),
        "read_ms": {"without": plain, "with": _ms(read)},
    }


def main() -> None:
    """Measure, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True)
    source = vo.load_study(parser.parse_args().study)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    result: dict[str, Any] = {
        "machine": platform.machine(),
        "optuna": optuna.__version__,
        "trials": TRIALS,
        "objectives": len(source.directions),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, piece in PIECES.items():
            cards._PIECE = piece
            result[name] = _measure(source, Path(folder) / f"{name}.db")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
