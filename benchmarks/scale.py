"""How do time and memory of a trial grow with patches, window, latents and trainings?

    python benchmarks/scale.py [--quick] [--threads N]

Every point is one walk through all stages on a synthetic image, in a process of its own, so that
its peak of memory is its own too. One quantity changes at a time; the last points are the largest
windows of the most patches, with rewards that cut every key point again. A slope of 1 on doubly
logarithmic axes is linear growth.

Writes ``benchmarks/results/scale.json`` and prints tables.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph
from vaeopt.workflow import Workflow, comparison_for, scores_of, walk

RESULTS = Path(__file__).parent / "results" / "scale.json"
SPACING = 8
USUAL = {"patches": 100, "window_px": 13, "latent_dim": 2, "members": 1, "epochs": 3}
INVARIANCES = ("none", "rotation")
LARGEST = {"patches": 316, "window_px": 40, "epochs": 1}
# Patches are given as the edge of the grid of key points: 32, 100 and 316 are 1,024 to 99,856.
AXES: dict[str, list[dict[str, int]]] = {
    "patches": [
        {"patches": 32, "epochs": 20},
        {"patches": 100, "epochs": 5},
        {"patches": 316, "epochs": 2},
    ],
    "window_px": [{"window_px": w} for w in (5, 10, 20, 40)],
    "latent_dim": [{"latent_dim": d} for d in (1, 2, 5, 10)],
    "members": [{"patches": 32, "members": m} for m in (1, 4, 16)],
    "largest": [LARGEST],
}
MEASURED = ("epoch_s", "encode_s", "density_filter_s", "mixture_s", "trial_s", "peak_gib")


def image(edge: int, window_px: int) -> Micrograph:
    """Smooth noise with room for ``edge`` x ``edge`` windows."""
    side = SPACING * (edge - 1) + window_px
    pixels = gaussian_filter(np.random.default_rng(0).random((side, side), np.float32), 3)
    pixels = (pixels - pixels.min()) / np.ptp(pixels)
    return Micrograph(
        name="noise", pixels=pixels, pixel_size_nm=None, sha256="", scaling=(0.0, 1.0)
    )


def workflow_of(point: dict[str, Any]) -> Workflow:
    largest = point["axis"] == "largest"
    return Workflow(
        keypoints={"kind": "grid", "spacing_px": SPACING},
        patches={"size_px": point["window_px"]},
        vae={
            "epochs": point["epochs"],
            "invariances": point["invariances"],
            "latent_dim": point["latent_dim"],
            "precision": "auto",
            "device": "cpu",
        },
        replicates=point["members"],
        mixture={"kind": "gmm", "engine": "batched", "components": [1, 5]},
        scores=[{"kind": "spatial-kappa"}, {"kind": "rotation-ami"}] if largest else [],
    )


def walked(point: dict[str, Any]) -> dict[str, float]:
    """One trial: seconds, and patches."""
    workflow, micrograph = workflow_of(point), image(point["patches"], point["window_px"])
    comparison = comparison_for(workflow, point["patches"] ** 2)
    start = time.perf_counter()
    run = walk(workflow, micrograph, comparison=comparison, seeds=Seeds(0, 0))
    scores_of(workflow, run)
    total = time.perf_counter() - start

    def seconds(stage: str) -> float:
        return sum(member.seconds[stage] for member in run.members)

    return {
        "n_patches": len(run.keypoints),
        "epoch_s": seconds("vae") / point["epochs"],
        **{f"{stage}_s": seconds(stage) for stage in ("encode", "density_filter", "mixture")},
        "trial_s": total,
    }


def measure(point: dict[str, Any], threads: int) -> dict[str, Any]:
    """What this process, which does nothing else, needs for one point."""
    torch.set_num_threads(threads)
    # Whatever is compiled or loaded at first use.
    walked({**point, "patches": 32, "window_px": 5, "epochs": 1, "members": 1})
    before = peak_gib()
    found = walked(point)
    return {**point, **found, "start_gib": before, "peak_gib": peak_gib()}


def peak_gib() -> float:
    """Most memory that this process has held so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def points(quick: bool) -> list[dict[str, Any]]:
    found = []
    for axis, changes in AXES.items():
        for change in changes:
            for invariances in INVARIANCES:
                point = {"axis": axis, "invariances": invariances, **USUAL, **change}
                if quick:
                    point |= {"patches": min(point["patches"], 50), "epochs": 1}
                found.append(point)
    return found


def slopes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Growth along every axis: fitted on logarithms, windows by their number of pixels."""
    found = []
    for axis in (name for name, changes in AXES.items() if len(changes) > 1):
        for invariances in INVARIANCES:
            some = [r for r in rows if (r["axis"], r["invariances"]) == (axis, invariances)]
            x = np.log([size_of(row, axis) for row in some])
            fits = {name: np.polyfit(x, np.log([r[name] for r in some]), 1)[0] for name in MEASURED}
            # Between the two largest points nothing fixed hides the growth any more.
            last = {
                name: np.log(some[-1][name] / some[-2][name]) / (x[-1] - x[-2]) for name in MEASURED
            }
            found.append({"axis": axis, "invariances": invariances, "all": fits, "last": last})
    return found


def size_of(row: dict[str, Any], axis: str) -> int:
    """What is plotted along an axis."""
    if axis == "window_px":
        return int(row[axis] ** 2)
    return int(row["n_patches" if axis == "patches" else axis])


def table(results: dict[str, Any]) -> str:
    """Markdown: all points, then slopes."""
    heads = "epoch s | encode s | density filter s | mixture s | trial s | peak GiB"
    lines = [f"| axis | invariances | patches | px | latents | trainings | epochs | {heads} |"]
    lines.append("|---" * 13 + "|")
    for row in results["points"]:
        keys = ("axis", "invariances", "n_patches", "window_px", "latent_dim", "members", "epochs")
        cells = [str(row[key]) for key in keys] + [f"{row[name]:.3g}" for name in MEASURED]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| slope, all points (last two) | invariances | {heads} |", "|---" * 8 + "|"]
    for row in results["slopes"]:
        cells = [f"{row['all'][name]:.2f} ({row['last'][name]:.2f})" for name in MEASURED]
        axis = "pixels" if row["axis"] == "window_px" else row["axis"]
        lines.append(f"| {axis} | {row['invariances']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few patches, one epoch")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.point:
        print(json.dumps(measure(words.point, words.threads)))
        return
    rows, began = [], time.perf_counter()
    load = os.getloadavg()[0]
    for point in points(words.quick):
        command = [sys.executable, __file__, "--point", json.dumps(point)]
        command += ["--threads", str(words.threads)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{time.perf_counter() - began:5.0f} s  {done.stdout.splitlines()[-1]}", flush=True)
    results = {
        "machine": platform.processor() or platform.machine(),
        "threads": words.threads,
        "torch": torch.__version__,
        "load": [load, os.getloadavg()[0]],
        "quick": words.quick,
        "minutes": (time.perf_counter() - began) / 60,
        "points": rows,
        "slopes": slopes(rows),
    }
    if not words.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
