"""Where does a trial spend its time?

    python benchmarks/trial.py [--quick]

Runs the quick-start study, and one trial of the settings of the paper on a real scan (rotation and
translation, 13 px, 1000 epochs, bf16), and reads the seconds of every stage from their records.
What is left of the time between the start and the end of a trial is asking, records and files.

Writes ``benchmarks/results/trial.json`` and prints a table.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from training import processor

import vaeopt as vo
from vaeopt.study.file import open_study

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "trial.json"
PAPER_PX, PAPER_EPOCHS = 13, 1000


def seconds(study: optuna.Study) -> list[dict[str, float]]:
    """Of every finished trial, by stage."""
    found = []
    for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        stages = dict(trial.user_attrs["vaeopt:primitives"]["seconds"])
        assert trial.duration is not None
        whole = trial.duration.total_seconds()
        found.append({**stages, "rest": whole - sum(stages.values()), "all": whole})
    return found


def run(folder: Path, source: str, **changes: Any) -> list[dict[str, float]]:
    """Trials of a study of the project with some settings changed, in a folder of its own."""
    settings = open_study(ROOT / source).settings
    table = settings.model_dump(mode="json", exclude_unset=True)
    for path, value in changes.items():
        place = table
        *parents, leaf = path.split("__")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return seconds(vo.optimize(type(settings)(**table), folder=folder))


def table(results: dict[str, Any]) -> str:
    """Markdown: seconds of a stage and its share of the trial."""
    names = list(results["trials"])
    stages = list(dict.fromkeys(s for name in names for t in results["trials"][name] for s in t))
    lines = [f"| stage | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for stage in sorted(stages, key=lambda stage: stage == "all"):
        cells = []
        for name in names:
            trials = results["trials"][name]
            mean = np.mean([trial.get(stage, 0.0) for trial in trials])
            share = mean / np.mean([trial["all"] for trial in trials])
            cells.append(f"{mean:.3f} ({share:.1%})")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials and epochs")
    words = parser.parse_args()
    epochs = 20 if words.quick else PAPER_EPOCHS
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        trials = {
            "quick-start": run(
                Path(folder, "quick"),
                "benchmarks/study/quick-start",
                optuna__n_trials=3 if words.quick else 12,
            ),
            f"paper, rt, {PAPER_PX} px, {epochs} epochs": run(
                Path(folder, "paper"),
                "studies/pzt-paper",
                optuna__n_trials=1,
                workflow__vae__epochs=epochs,
                workflow__vae__precision="auto",
                search={
                    "patches.size_px": {"choices": [PAPER_PX]},
                    "vae.invariances": {"choices": [["rotation", "translation"]]},
                },
            ),
        }
    results = {"processor": processor(), "load": before, "trials": trials}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
