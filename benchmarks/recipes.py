"""What do shorter trainings do to what a study sees?

    python benchmarks/recipes.py [--seeds N] [--threads N]

Trains the quick-start workflow on its rendered image, all patches, with several recipes and seeds,
and compares rewards, and how well the latents know the true building blocks: the adjusted Rand
index of a Gaussian mixture with as many components, and the share of key points whose class the 15
nearest others tell (cross-validated). Writes ``benchmarks/results/recipes.json`` and prints a
table; seconds are those of the training, on the wall.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from training import processor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.datasets import AMBIGUOUS, RenderedScan, render
from vaeopt.stages.rewards import Reward
from vaeopt.study.file import open_study
from vaeopt.study.session import Session, prepare
from vaeopt.workflow import walk

STUDY = Path(__file__).parent / "study" / "quick-start"
RESULTS = Path(__file__).parent / "results" / "recipes.json"
REWARDS = ("reconstruction", "gain", "rate", "silhouette")
PLAIN: dict[str, Any] = {
    "epochs": 200,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "pixels": 1.0,
}
RECIPES: dict[str, dict[str, Any]] = {
    "default": PLAIN,
    "constant 0.004": PLAIN | {"learning_rate": 4e-3},
    "cycle to 0.004": PLAIN | {"learning_rate": 4e-3, "schedule": "one-cycle"},
    "cycle to 0.004, batch 64, 100 epochs": {
        "epochs": 100,
        "batch_size": 64,
        "learning_rate": 4e-3,
        "schedule": "one-cycle",
        "pixels": 1.0,
    },
    "cycle to 0.008, batch 64, 1/4 of the pixels, 120 epochs": {
        "epochs": 120,
        "batch_size": 64,
        "learning_rate": 8e-3,
        "schedule": "one-cycle",
        "pixels": 0.25,
    },
}


def numbers_of(run: WorkflowRun, truth: RenderedScan) -> dict[str, float]:
    """Rewards, and agreement with the truth at the key points that have one."""
    rewards = [Reward.of_kind(kind)() for kind in REWARDS]
    row, column = run.keypoints.yx_px.round().astype(int).T
    classes = truth.class_map[row, column]
    known = classes != AMBIGUOUS
    z = run.latents.z_mean / run.latents.z_mean.std(axis=0)
    mixture = GaussianMixture(len(truth.class_names), n_init=10, random_state=0)
    found = mixture.fit_predict(z)
    neighbours = cross_val_score(KNeighborsClassifier(15), z[known], classes[known], cv=5)
    return {
        "loss_nats": float(run.vae.loss_nats[-5:].mean()),
        **{reward.label: float(reward.value(run)) for reward in rewards},
        "rand_index": float(adjusted_rand_score(classes[known], found[known])),
        "neighbours": float(neighbours.mean()),
        "collapsed": float(bool(run.collapse.reasons)),
    }


def measure(
    session: Session, truth: RenderedScan, invariances: str, recipe: str, seed: int
) -> dict[str, Any]:
    """One trial."""
    values = {f"vae.{name}": value for name, value in RECIPES[recipe].items()}
    values |= {"vae.invariances": invariances, "vae.precision": "auto"}
    workflow = session.file.settings.workflow.with_values(values)
    run = walk(workflow, session.micrograph, comparison=session.comparison, seeds=Seeds(0, seed))
    numbers = numbers_of(run, truth) | {"seconds": run.seconds["vae"]}
    return {"invariances": invariances, "recipe": recipe, "seed": seed, **numbers}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: means over seeds and their standard deviation."""
    names = [name for name in rows[0] if name not in ("invariances", "recipe", "seed")]
    lines = [f"| invariances | recipe | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for invariances, recipe in dict.fromkeys((row["invariances"], row["recipe"]) for row in rows):
        some = [r for r in rows if (r["invariances"], r["recipe"]) == (invariances, recipe)]
        cells = []
        for name in names:
            values = [row[name] for row in some]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}")
        lines.append(f"| {invariances} | {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    session = prepare(open_study(STUDY))
    truth = render(session.micrograph.name, seed=0)
    rows = [
        measure(session, truth, invariances, recipe, seed)
        for invariances in ("rotation", "rotation+translation")
        for recipe in RECIPES
        for seed in range(words.seeds)
    ]
    results = {
        "processor": processor(),
        "threads": words.threads,
        "load": os.getloadavg()[0],
        "recipes": RECIPES,
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
