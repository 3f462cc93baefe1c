"""What does it save to train members together, beside the same step of pyroVED's kind in Pyro?

    python benchmarks/stacking.py [--quick] [--threads N]

Milliseconds per step of one member. ``peer`` is the hand-written Pyro model of ``training.py``;
``eager`` trains one model with the gradients that torch finds and ``stacked`` 1 to 16 members in
one step, both without compiled kernels; ``native`` is compiled, with members spread over threads.
Weights are copied once per epoch, as the training loop does it. Chunks of all of them take turns.
CPU time of the main thread is measured with one thread, else time on the wall.

Writes ``benchmarks/results/stacking.json`` and prints a table.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor
from training import (
    BATCH,
    BATCHES_PER_EPOCH,
    INVARIANCES,
    WIDTH,
    clock_for,
    loss_difference,
    peer_steps,
    processor,
)

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.decoder import native
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers import EagerTrainer, Job, NativeTrainer, StackedTrainer, Trainer

RESULTS = Path(__file__).parent / "results" / "stacking.json"
MEMBERS = [1, 2, 4, 8, 16]
SIZES_PX = [8, 13, 20]
SPATIAL_BATCHES = 2  # per epoch, whose own costs are nothing beside a spatial step


def member_steps(trainer: Trainer, n_members: int, n_batches: int) -> Callable[[], int]:
    """A function that does one epoch of all members and says how many steps that was."""

    def steps() -> int:
        trainer.epoch(range(n_members), 1e-3)
        return n_members * n_batches

    return steps


def entrants(settings: VaeSettings, size_px: int, data: Tensor) -> dict[str, Callable[[], int]]:
    """Everybody but the peer; what is not compiled takes its products of float32 numbers."""
    every = tuple(Seeds(0, member) for member in range(max(MEMBERS)))
    n_batches = len(data) // BATCH
    found: dict[str, Callable[[], int]] = {}
    fast = settings.model_copy(update={"engine": "fast"})
    if settings.precision == "float32":
        found["eager"] = member_steps(
            EagerTrainer(Job(fast, data, size_px, every[:1])), 1, n_batches
        )
        for n in MEMBERS:
            trainer: Trainer = StackedTrainer(Job(fast, data, size_px, every[:n]), group=n)
            found[f"stacked {n}"] = member_steps(trainer, n, n_batches)
    if NativeTrainer.runs(settings, data.device):
        for n in MEMBERS:
            trainer = NativeTrainer(Job(settings, data, size_px, every[:n]))
            found[f"native {n}"] = member_steps(trainer, n, n_batches)
    return found


def measure(name: str, size_px: int, precision: str, rounds: int, threads: int) -> dict[str, Any]:
    """Milliseconds per member and step of everybody, in turns."""
    n_batches = BATCHES_PER_EPOCH if name == "none" else SPATIAL_BATCHES
    data = torch.rand(n_batches * BATCH, size_px**2)
    settings = VaeSettings(
        invariances=INVARIANCES[name],
        width=WIDTH,
        batch_size=BATCH,
        kl_estimator="sampled",
        precision=precision,
        device="cpu",
    )
    difference = loss_difference(settings, size_px, data[:BATCH])
    contestants = {"peer": peer_steps(settings, size_px, data)[0]}
    contestants |= entrants(settings, size_px, data)
    times: dict[str, list[float]] = {label: [] for label in contestants}
    clock = clock_for(threads)
    for turn in range(rounds + 1):
        for label, steps in contestants.items():
            start = clock()
            done = steps()
            if turn > 0:  # the first round warms up
                times[label].append((clock() - start) / done * 1e3)
    return {
        "invariances": name,
        "window_px": size_px,
        "precision": precision,
        "loss_difference": difference,
        "ms": {
            label: np.percentile(t, [50, 25, 75]).round(4).tolist() for label, t in times.items()
        },
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: milliseconds, and how many times faster than the peer."""
    labels = [label for label in rows[0]["ms"] if label != "peer"]
    lines = [
        f"| invariances | px | precision | peer | {' | '.join(labels)} |",
        "|---" * (4 + len(labels)) + "|",
    ]
    for row in rows:
        ms = {label: times[0] for label, times in row["ms"].items()}
        cells = [
            f"{ms[label]:.2f} (x {ms['peer'] / ms[label]:.1f})" if label in ms else ""
            for label in labels
        ]
        lines.append(
            f"| {row['invariances']} | {row['window_px']} | {row['precision']} "
            f"| {ms['peer']:.2f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    torch.manual_seed(0)
    before, rounds = os.getloadavg()[0], 2 if words.quick else 7
    kinds = [("none", "float32"), ("r", "float32"), ("rt", "float32")]
    if native.has_bf16():
        kinds += [("r", "bf16"), ("rt", "bf16")]
    rows = [
        measure(name, size_px, precision, rounds, words.threads)
        for name, precision in kinds
        for size_px in SIZES_PX
    ]
    results = {
        "processor": processor(),
        "threads": words.threads,
        "clock": "CPU time" if words.threads == 1 else "wall",
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "quick": words.quick,
        "load": [before, os.getloadavg()[0]],
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
