"""How long does the paper's sweep take? 27 trainings, with their mixtures and rewards.

    python benchmarks/sweep.py [--quick]

The study ``pzt-paper`` on a real scan (1176 patches in every window), once as the paper trains
(1000 epochs, constant rate) and once by a cycle of 60 epochs, both in bf16 where there is; and the
time that the same trainings would take with as many patches as one likes: an epoch takes time in
proportion to the patches. Picks are the configurations that each score finds best.

Writes ``benchmarks/results/sweep.json`` and prints a table.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from training import processor

import vaeopt as vo
from vaeopt.study.file import open_study
from vaeopt.study.results.access import metric_names

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sweep.json"
CYCLE = {
    "epochs": 60,
    "batch_size": 64,
    "learning_rate": 8e-3,
    "schedule": "one-cycle",
    "pixels": 0.25,
}


def sweep(vae: dict[str, Any]) -> dict[str, Any]:
    """Wall and training seconds of the study with these settings, and what it picks."""
    settings = open_study(ROOT / "studies" / "pzt-paper").settings
    table = settings.model_dump(mode="json", exclude_unset=True)
    table["workflow"]["vae"] = {**table["workflow"]["vae"], "precision": "auto", **vae}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        study = vo.optimize(type(settings)(**table), folder=folder)
        seconds = time.perf_counter() - start
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    training = [trial.user_attrs["vaeopt:primitives"]["seconds"]["vae"] for trial in trials]
    name = metric_names(study)[0]
    best = max(trials, key=lambda trial: trial.values[0] * _sign(study))
    return {
        "seconds": seconds,
        "training_seconds": sum(training),
        "trials": len(trials),
        "pick": {"reward": name, **best.params},
    }


def _sign(study: optuna.Study) -> int:
    return 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few epochs")
    words = parser.parse_args()
    plain = {"epochs": 5 if words.quick else 1000}
    cycle = {**CYCLE, "epochs": 3 if words.quick else 60}
    before = os.getloadavg()[0]
    sweeps = {"cycle": sweep(cycle), "plain": sweep(plain)}
    results = {"processor": processor(), "load": before, "sweeps": sweeps}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print("| recipe | trials | whole, min | training, min | pick |")
    print("|---|---|---|---|---|")
    for name, found in sweeps.items():
        print(
            f"| {name} | {found['trials']} | {found['seconds'] / 60:.1f} "
            f"| {found['training_seconds'] / 60:.1f} | {found['pick']} |"
        )


if __name__ == "__main__":
    main()
