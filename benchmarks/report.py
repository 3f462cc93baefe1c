"""How long the page of a study of 300 trials takes, and how large it is.

The trials are real ones, but trained for one epoch: only their number and their key points matter
here. Run it alone: times are of the wall.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import vaeopt as vo
from vaeopt.report.page import write_report
from vaeopt.study.session import prepare

RESULT = Path(__file__).parent / "results" / "report.json"


def study_settings(rewards: list[str], n_trials: int) -> vo.StudySettings:
    """A search of window, invariance, latents and KL weight over one epoch each."""
    table: dict[str, Any] = {
        "name": "report",
        "image": {"dataset": "ferroelectric-domains"},
        "workflow": {
            "keypoints": {"kind": "grid", "spacing_px": 7},
            "vae": {"epochs": 1, "width": 16, "depth": 1, "device": "cpu"},
            "mixture": {"kind": "gmm", "components": [1, 5], "n_init": 1},
            "latent_filter": {"kind": "variance-product", "minimum": 1e-9},
            "rewards": [{"kind": kind} for kind in rewards],
            "scores": [{"kind": "silhouette"}, {"kind": "spatial-kappa"}],
        },
        "search": {
            "patches.size_px": {"low": 7, "high": 15, "step": 2},
            "vae.invariances": {"choices": [[], ["rotation"], ["rotation", "translation"]]},
            "vae.latent_dim": {"low": 2, "high": 3},
            "vae.kl_scale": {"low": 0.0001, "high": 0.01, "log": True},
        },
        "optuna": {"sampler": {"kind": "random"}, "n_trials": n_trials},
    }
    return vo.StudySettings(**table)


def measure(place: Path, rewards: list[str], n_trials: int, rounds: int) -> dict[str, Any]:
    """Seconds of each round, and bytes; a study that is there already goes on."""
    settings = study_settings(rewards, n_trials)
    study = vo.optimize(settings, folder=place)
    session = prepare(vo.open_study(settings, folder=place))
    seconds, processor = [], []
    for _ in range(rounds):
        wall, busy = time.perf_counter(), time.process_time()
        page = write_report(study, session, place / "report", csv=True)
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - busy)
    return {
        "objectives": rewards,
        "trials": len(study.trials),
        "keypoints": len(session.keypoints),
        "wall_s": seconds,
        "processor_s": processor,
        "page_bytes": page.stat().st_size,
        "csv_bytes": sum(p.stat().st_size for p in (page.parent / "figures").iterdir()),
    }


def main() -> None:
    """Measure and store."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--quick", action="store_true", help="30 trials, one round, stores nothing")
    words.add_argument("--folder", type=Path, help="where the study is kept for another time")
    arguments = words.parse_args()
    n_trials, rounds = (30, 1) if arguments.quick else (300, 3)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.folder or Path(place)
        row = measure(folder, ["reconstruction", "gain"], n_trials, rounds)
    print(
        f"{row['trials']} trials, {row['keypoints']} key points: {min(row['wall_s']):.1f} s of the "
        f"wall, {min(row['processor_s']):.1f} s of the processor, {row['page_bytes'] / 1e6:.1f} MB"
    )
    if not arguments.quick:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table = {"machine": platform.machine(), "load": load, "peak_MiB": peak, **row}
        RESULT.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
