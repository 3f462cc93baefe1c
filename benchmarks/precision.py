"""Does training with bf16 products change what a study sees?

    python benchmarks/precision.py [--seeds N]

Trains the quick-start workflow on its rendered image with every arithmetic and several seeds, and
compares rewards and latents of the same seed between: ``fast`` and ``native`` in float32, which
differ by rounding only; and ``native`` in float32 and in bf16. Beside stands the spread between
seeds. Writes ``benchmarks/results/precision.json`` and prints a table.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.stages.rewards import Reward
from vaeopt.study.file import open_study
from vaeopt.study.session import Session, prepare
from vaeopt.workflow import walk

STUDY = Path(__file__).parent / "study" / "quick-start"
RESULTS = Path(__file__).parent / "results" / "precision.json"
ARITHMETIC = {
    "float32": ("native", "float32"),
    "rounding": ("fast", "float32"),
    "bf16": ("native", "bf16"),
}
RECIPE = {
    "vae.epochs": 50,
    "vae.batch_size": 64,
    "vae.learning_rate": 3e-3,
    "vae.schedule": "constant",
    "vae.pixels": 1.0,
}
REWARDS = ("reconstruction", "gain", "icl", "rate", "silhouette")


def run_of(session: Session, invariances: str, seed: int, arithmetic: str) -> WorkflowRun:
    """One trial."""
    engine, precision = ARITHMETIC[arithmetic]
    workflow = session.file.settings.workflow.with_values(
        RECIPE | {"vae.invariances": invariances, "vae.engine": engine, "vae.precision": precision}
    )
    return walk(workflow, session.micrograph, comparison=session.comparison, seeds=Seeds(0, seed))


def explained(z: NDArray[np.float64], by: NDArray[np.float64]) -> float:
    """Share of the variance of latents that a linear map of others explains, in [0, 1]."""
    x = np.column_stack([by, np.ones(len(by))])
    rest = z - x @ np.linalg.lstsq(x, z)[0]
    return 1 - float(rest.var(axis=0).sum() / z.var(axis=0).sum())


def compare(session: Session, invariances: str, seeds: int) -> dict[str, Any]:
    """Loss, latents and rewards of one model in every arithmetic."""
    rewards: list[Reward] = [Reward.of_kind(kind)() for kind in REWARDS]
    runs = {
        name: [run_of(session, invariances, seed, name) for seed in range(seeds)]
        for name in ARITHMETIC
    }
    exact = runs["float32"]
    return {
        "invariances": invariances,
        "values": {
            name: {
                "loss_nats": [float(run.vae.loss_nats[-5:].mean()) for run in members],
                **{r.label: [float(r.value(run)) for run in members] for r in rewards},
            }
            for name, members in runs.items()
        },
        "latents_explained": {
            name: [
                explained(run.latents.z_mean, other.latents.z_mean)
                for run, other in zip(members, exact, strict=True)
            ]
            for name, members in runs.items()
        }
        | {
            "other seed": [
                explained(run.latents.z_mean, exact[i - 1].latents.z_mean)
                for i, run in enumerate(exact)
            ]
        },
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: means, spread between seeds, mean change of the same seed."""
    lines = ["| model | number | float32 | sd of seeds | change by rounding | change by bf16 |"]
    lines.append("|---|---|---|---|---|---|")
    for result in results:
        exact = result["values"]["float32"]
        for label, numbers in exact.items():
            changes = [
                np.abs(np.subtract(result["values"][name][label], numbers)).mean()
                for name in ("rounding", "bf16")
            ]
            lines.append(
                f"| {result['invariances']} | {label} | {np.mean(numbers):.4f} "
                f"| {np.std(numbers, ddof=1):.4f} | {changes[0]:.4f} | {changes[1]:.4f} |"
            )
        means = {name: np.mean(shares) for name, shares in result["latents_explained"].items()}
        lines.append(
            f"| {result['invariances']} | latents explained | 1 | {means['other seed']:.4f} "
            f"| {means['rounding']:.4f} | {means['bf16']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    session = prepare(open_study(STUDY))
    results = [
        compare(session, name, seeds) for name in ("none", "rotation", "rotation+translation")
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
