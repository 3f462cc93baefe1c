"""What do the pictures and the note of a trial cost?

    python benchmarks/pictures.py [--repeats N]

Draws every picture of two runs again and again: of the quick-start study, and of the paper's
settings on a real scan (1176 patches of 13 x 13 px, rotation and translation). Trained for a few
epochs only, as pictures do not depend on that. Reported are processor milliseconds on one thread
(median and quartiles) and kB, and the share of a trial, whose time ``benchmarks/trial.py`` has
stored. Then what a note costs: to write one, and to read those of 1000 trials, as Optuna does
whenever it looks for what a study is called or what its values are named.

Writes ``benchmarks/results/pictures.json`` and prints a table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from training import processor

import vaeopt as vo
from vaeopt.core.types import WorkflowRun
from vaeopt.report.illustrator import Pictures
from vaeopt.report.pictures import PAINTERS
from vaeopt.study.file import open_study
from vaeopt.study.illustration import Subject
from vaeopt.study.notes import first_note
from vaeopt.study.storage import open_storage, together
from vaeopt.workflow import Workflow, scores_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "pictures.json"
TRIALS = ROOT / "benchmarks" / "results" / "trial.json"
EPOCHS = 30
NOTES = 1000
RUNS = {
    "quick-start": ("benchmarks/study/quick-start", [f"vae.epochs={EPOCHS}"]),
    "paper": (
        "studies/pzt-paper",
        [f"vae.epochs={EPOCHS}", "patches.size_px=13", "vae.invariances=rotation+translation"],
    ),
}
IMPORT = """
import time
import vaeopt.report.illustrated, vaeopt.workflow
start = time.process_time()
import vaeopt.report.pictures
print(time.process_time() - start)
"""


def spent(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Processor milliseconds: median and quartiles."""
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    low, middle, high = np.percentile(times[2:], [25, 50, 75])
    return {"ms": float(middle), "low": float(low), "high": float(high)}


def subject(workflow: Workflow, run: WorkflowRun) -> Subject:
    """What the note of a trial is written from."""
    scores = scores_of(workflow, run)
    told = [score.value for r in workflow.rewards if (score := scores[r.label]) is not None]
    links = dict.fromkeys(PAINTERS, f"/artifacts/1/1000/{36 * '0'}")
    return Subject(workflow, run, scores, told, links, {})


def drawn(name: str, repeats: int) -> dict[str, Any]:
    """All pictures of one run."""
    study, changes = RUNS[name]
    file = open_study(ROOT / study, overrides=changes)
    run, workflow = vo.run(file), file.settings.workflow
    pictures = {
        picture: {
            **spent(lambda draw=draw: draw(run).png(), repeats),
            "kB": len(draw(run).png()) / 1e3,
        }
        for picture, draw in PAINTERS.items()
    }
    whole = spent(lambda: Pictures().pictures(run), repeats)
    described = subject(workflow, run)
    return {
        "patches": len(run.latents),
        "window_px": run.vae.window_px,
        "pictures": pictures,
        "all": {**whole, "kB": sum(p["kB"] for p in pictures.values())},
        "note": spent(lambda: Pictures().note(described), repeats),
        "note_characters": len(Pictures().note(described)),
        "trial_s": trial_seconds(name),
    }


def trial_seconds(name: str) -> float:
    """Mean time of such a trial, as stored."""
    trials = json.loads(TRIALS.read_text(encoding="utf-8"))["trials"]
    (found,) = [held for key, held in trials.items() if key.startswith(name)]
    return float(np.mean([trial["all"] for trial in found]))


def notes(length: int, repeats: int) -> dict[str, Any]:
    """Writing one note, and reading those of many trials."""
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{folder}/notes.db", create=True)
        study = optuna.create_study(storage=storage)
        text = (length * "x")[:length]
        place = iter(range(1, 10**6))

        def write() -> None:
            with together(study._storage):
                for key, value in first_note(next(place), text).items():
                    study._storage.set_study_system_attr(study._study_id, key, value)

        with together(study._storage):
            for _ in range(NOTES):
                for key, value in first_note(next(place), text).items():
                    study._storage.set_study_system_attr(study._study_id, key, value)
        read = spent(lambda: study.metric_names, repeats)
        return {"trials": NOTES, "read": read, "write": spent(write, repeats)}


def table(results: dict[str, Any]) -> str:
    """Markdown: cost of every picture."""
    runs = results["runs"]
    lines = [f"| picture | {' | '.join(runs)} |", "|---" * (1 + len(runs)) + "|"]
    for name in [*PAINTERS, "all"]:
        cells = [run["all"] if name == "all" else run["pictures"][name] for run in runs.values()]
        lines.append(
            f"| {name} | " + " | ".join(f"{c['ms']:.1f} ms, {c['kB']:.0f} kB" for c in cells) + " |"
        )
    shares = [run["all"]["ms"] / 1e3 / run["trial_s"] for run in runs.values()]
    lines.append(f"| share of a trial | {' | '.join(f'{share:.1%}' for share in shares)} |")
    found = results["notes"]
    lines += [
        "",
        f"first picture of a process: {results['import_s']:.2f} s more (imports)",
        f"note: written in {found['write']['ms']:.1f} ms beside {found['trials']} others, "
        f"all of them read in {found['read']['ms']:.1f} ms",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    runs = {name: drawn(name, repeats) for name in RUNS}
    command = [sys.executable, "-c", IMPORT]
    took = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
        for _ in range(3)
    ]
    length = max(run["note_characters"] for run in runs.values())
    results = {
        "processor": processor(),
        "load": before,
        "runs": runs,
        "import_s": float(np.median(took)),
        "notes": notes(length, repeats),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
