"""What is known of a training before it has ended: its collapse, and its rewards?

    python benchmarks/early.py collapse [--recipes quick,...] [--runs N] [--first N]
    python benchmarks/early.py rewards [--runs N] [--first N]
    python benchmarks/early.py tables

``collapse`` trains random configurations of random scans and judges their latents after every
twentieth of the epochs, on 512 patches, with the latent filters ``units`` and
``variance-product``; nothing is ended. ``rewards`` trains random configurations of ``pzt-2um`` by
the preset ``quick`` and computes rewards after each quarter. Run n is drawn with seed n. Both write
``benchmarks/results/early.json``, in which a run replaces an earlier one of its kind, recipe and
number; ``tables`` prints what the rule of ``stop_collapsed`` would have done, and rank
correlations.

Scans other than ``pzt-2um`` and the rendered one are looked for below ``VAEOPT_DATA_DIR``; without
them, run numbers mean other configurations.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from training import processor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import KeyPoints, Micrograph, Patches, TrainedVae
from vaeopt.datasets.named import DATA_DIR_VARIABLE
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.keypoints import detect
from vaeopt.stages.latent_filter import LatentFilter
from vaeopt.stages.micrograph import ImageSettings, load
from vaeopt.stages.patches import cut
from vaeopt.stages.vae import Request, Watch, encode, posterior, train_many
from vaeopt.workflow import Workflow, comparison_for, scores_of
from vaeopt.workflow.early import HOPELESS_MARGIN, check_epochs
from vaeopt.workflow.run import score

RESULTS = Path(__file__).parent / "results" / "early.json"
NAMED = ("pzt-2um", "ferroelectric-domains")
FILES = ("PTO_Funakubo0005", "PZT_thick0004", "scan_0001")
INVARIANCES = ((), ("rotation",), ("rotation", "translation"))
WINDOWS = (7, 9, 11, 13, 15)
LARGEST_WINDOW = 20
PAPER = {"batch_size": 128, "kl_estimator": "sampled"}
RECIPES: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 120,
        "batch_size": 64,
        "pixels": 0.25,
        "learning_rate": 8e-3,
        "schedule": "one-cycle",
        "precision": "auto",
    },
    "default": {"epochs": 200, "batch_size": 128},
    "paper100": {**PAPER, "epochs": 100},
    "paper300": {**PAPER, "epochs": 300},
}
FILTERS = ("units", "variance-product")
LOOKS = 20
LOOKED_AT = 512
SCORES = ("fvu_core", "gain", "rate", "icl", "spatial_kappa", "silhouette")
LARGE_IS_GOOD = ("gain", "spatial_kappa", "silhouette")
NARROW = 0.01
"""largest kl_scale of the study pzt-domains"""

Row = dict[str, Any]


@cache
def scene(scan: str) -> tuple[Workflow, Micrograph, KeyPoints]:
    """A scan and its key points."""
    if scan in NAMED:
        image: dict[str, Any] = {"dataset": scan}
        folder = Path()
    else:
        (path, *_) = sorted(Path(os.environ[DATA_DIR_VARIABLE]).rglob(f"{scan}.npz"))
        image, folder = {"path": path.name}, path.parent
    if scan != "ferroelectric-domains":
        image["channel"] = "amplitude"
    spacing = 8.0 if scan == "ferroelectric-domains" else 6.0
    table: dict[str, Any] = {
        "keypoints": {"kind": "canny", "sigma_px": 2.0, "spacing_px": spacing},
        "mixture": {"kind": "gmm", "components": [1, 10], "n_init": 5},
        "scores": ["icl", "spatial-kappa", "silhouette"],
    }
    workflow = Workflow(**table)
    micrograph = load(ImageSettings(**image, clip_percentiles=(1, 95)), folder=folder)
    found = detect(workflow.keypoints, micrograph, largest_window_px=LARGEST_WINDOW, folder=folder)
    return workflow, micrograph, found


def margins(vae: TrainedVae, patches: Patches) -> list[float]:
    """What each filter says; positive is collapsed."""
    diagnostics = unit_diagnostics(*posterior(vae, patches))
    filters = [LatentFilter.of_kind(kind)() for kind in FILTERS]
    return [round(judge(diagnostics, raw_space=False).margin, 2) for judge in filters]


def drawn(number: int, scans: Sequence[str], recipes: Sequence[str], most: float) -> Row:
    """A configuration."""
    rng = random.Random(number)  # noqa: S311  # a name of a configuration, no secret
    scan, recipe, invariances = rng.choice(scans), rng.choice(recipes), rng.choice(INVARIANCES)
    latent_dim = rng.choice((2, 2, 3, 4) if len(scans) > 1 else (2, 3))
    return {
        "number": number,
        "scan": scan,
        "recipe": recipe,
        "invariances": "+".join(invariances) or "none",
        "latent_dim": latent_dim,
        "window": rng.choice(WINDOWS),
        "kl_scale": round(10 ** rng.uniform(-4, math.log10(most)), 7),
    }


def trained(row: Row, look: Callable[[float, TrainedVae, Patches], None], looks: int) -> float:
    """Train a configuration and look at it so many times; seconds of the training."""
    workflow, micrograph, keypoints = scene(row["scan"])
    workflow = configured(workflow, row)
    patches = cut(workflow.patches, micrograph, keypoints)
    epochs, spent = workflow.vae.epochs, 0.0

    def watch() -> Watch:
        def at(done: int, so_far: Callable[[], TrainedVae]) -> bool:
            nonlocal spent
            start = time.perf_counter()
            if done % (epochs // looks) == 0:
                look(done / epochs, so_far(), patches)
            spent += time.perf_counter() - start
            return False

        return at

    seeds = Seeds(0, row["number"])
    request = Request(settings=workflow.vae, patches=patches, seeds=(seeds,), watch=watch)
    start = time.perf_counter()
    (((vae,),)) = train_many([request])
    seconds = time.perf_counter() - start - spent
    row["patches"], row["diverged"] = len(patches), vae.diverged
    look(1.0, vae, patches)
    return round(seconds, 3)


def configured(workflow: Workflow, row: Row) -> Workflow:
    """The settings of a row."""
    values = {
        "patches.size_px": row["window"],
        "vae.invariances": row["invariances"],
        "vae.latent_dim": row["latent_dim"],
        "vae.kl_scale": row["kl_scale"],
    }
    recipe = {f"vae.{name}": value for name, value in RECIPES[row["recipe"]].items()}
    return workflow.with_values({**values, **recipe})


def collapse(number: int, recipes: Sequence[str]) -> Row:
    """Margins of the filters on the way and, on all patches, at the end."""
    row = drawn(number, [*NAMED, *FILES], recipes, 0.1)
    row["looks"] = []

    def look(share: float, vae: TrainedVae, patches: Patches) -> None:
        rows = np.unique(np.linspace(0, len(patches) - 1, LOOKED_AT).astype(int))
        few = Patches(pixels=patches.pixels[rows], keypoint_index=patches.keypoint_index[rows])
        row["looks"].append(margins(vae, few))
        row["end"] = margins(vae, patches)

    row["seconds"] = trained(row, look, LOOKS)
    return row


def rewards(number: int) -> Row:
    """All rewards after each quarter."""
    row = drawn(number, NAMED[:1], ["quick"], NARROW)
    workflow, micrograph, keypoints = scene(row["scan"])
    workflow = configured(workflow, row)
    comparison = comparison_for(workflow, len(keypoints), windows_px=(7, LARGEST_WINDOW))
    row["quarters"] = []

    def look(share: float, vae: TrainedVae, patches: Patches) -> None:
        start = time.perf_counter()
        latents = encode(vae, patches, core_px=comparison.core_px)
        run = score(
            workflow,
            micrograph,
            keypoints,
            patches,
            vae,
            latents,
            comparison=comparison,
            seeds=Seeds(0, number),
            seconds={},
        )
        values = {name: found.value for name, found in scores_of(workflow, run).items() if found}
        values["margin"] = run.collapse.margin
        row["quarters"].append({name: round(value, 5) for name, value in values.items()})
        row["look_seconds"] = round(time.perf_counter() - start, 3)

    row["seconds"] = trained(row, look, 4)
    return row


# ---- tables


def ended(row: Row, judge: int) -> float:
    """Share of the epochs after which the rule of ``stop_collapsed`` ends a training; 1: never."""
    found = [look[judge] for look in row["looks"]]
    shares = [epoch * LOOKS // 100 for epoch in check_epochs(100)]
    for before, now in pairwise(shares):
        if found[before - 1] >= HOPELESS_MARGIN and found[now - 1] >= found[before - 1]:
            return now / LOOKS
    return 1.0


def plain(row: Row, judge: int, least: float) -> bool:
    """Whether a single look at or behind half of the epochs finds such a margin."""
    shares = [epoch * LOOKS // 100 for epoch in check_epochs(100)]
    return any(row["looks"][share - 1][judge] >= least for share in shares)


def collapse_table(rows: Sequence[Row]) -> str:
    """Of every recipe and filter: how many ended, how many of them would have recovered."""
    lines = [
        "| recipe | filter | trainings | collapsed at the end | ended early | would have recovered "
        f"| epochs saved | epochs saved, kl_scale <= {NARROW} "
        "| one look, margin > 0: ended | would have recovered |",
        "|---" * 10 + "|",
    ]
    for recipe in RECIPES:
        some = [row for row in rows if row["recipe"] == recipe and not row["diverged"]]
        for judge, kind in enumerate(FILTERS if some else ()):
            sick = [row["end"][judge] > 0 for row in some]
            cuts = np.array([ended(row, judge) for row in some])
            narrow = np.array([row["kl_scale"] <= NARROW for row in some])
            single = [plain(row, judge, 1e-9) for row in some]
            false = sum(cut < 1 and not end for cut, end in zip(cuts, sick, strict=True))
            rash = sum(one and not end for one, end in zip(single, sick, strict=True))
            lines.append(
                f"| {recipe} | {kind} | {len(some)} | {sum(sick)} | {(cuts < 1).sum()} | {false} "
                f"| {1 - cuts.mean():.1%} | {1 - cuts[narrow].mean():.1%} "
                f"| {sum(single)} | {rash} |"
            )
    return "\n".join(lines)


def ranks_table(rows: Sequence[Row]) -> str:
    """Spearman correlation of early and final values, and what half-way pruning would lose."""
    groups: dict[str, Callable[[Row], bool]] = {
        "all": lambda row: True,
        "two latents": lambda row: row["latent_dim"] == 2,
        "feasible at the end": lambda row: row["quarters"][-1]["margin"] <= 0,
    }
    for chosen in ("none", "rotation", "rotation+translation"):
        groups[chosen] = lambda row, chosen=chosen: row["invariances"] == chosen  # type: ignore[misc]
    lines = [
        "| trials | n | reward | rho at 25 % | at 50 % | at 75 % "
        "| best quarter lost at 25 % | at 50 % |",
        "|---" * 8 + "|",
    ]
    for name, belongs in groups.items():
        some = [row for row in rows if belongs(row)]
        for reward in SCORES:
            sign = -1 if reward in LARGE_IS_GOOD else 1
            values = sign * np.array([[q[reward] for q in row["quarters"]] for row in some])
            if not np.ptp(values, axis=0).all():  # nothing to rank
                continue
            rho = [spearmanr(values[:, i], values[:, -1])[0] for i in range(3)]
            best = values[:, -1] <= np.quantile(values[:, -1], 0.25)
            lost = [float((values[best, i] > np.median(values[:, i])).mean()) for i in range(2)]
            cells = [f"{x:.2f}" for x in rho] + [f"{x:.0%}" for x in lost]
            lines.append(f"| {name} | {len(some)} | {reward} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(results: Mapping[str, Any]) -> str:
    """Markdown."""
    parts = []
    if results["collapse"]:
        parts.append(collapse_table(results["collapse"]))
    if results["rewards"]:
        parts.append(ranks_table(results["rewards"]))
        spent = [(row["look_seconds"], row["seconds"]) for row in results["rewards"]]
        look, whole = np.median(np.array(spent), axis=0)
        parts.append(f"one look at the rewards {look:.2f} s, one training {whole:.2f} s (medians)")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("collapse", "rewards", "tables"))
    parser.add_argument("--recipes", default="quick", help="of: " + ", ".join(RECIPES))
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    words = parser.parse_args()
    results: dict[str, Any] = {"collapse": [], "rewards": []}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    if words.what != "tables":
        torch.set_num_threads(1)
        numbers = range(words.first, words.first + words.runs)
        recipes = words.recipes.split(",")
        rows = [rewards(n) if words.what == "rewards" else collapse(n, recipes) for n in numbers]
        fresh = {(row["number"], row["recipe"]) for row in rows}
        kept = [r for r in results[words.what] if (r["number"], r["recipe"]) not in fresh]
        results |= {words.what: kept + rows, "processor": processor(), "threads": 1}
        lines = ",\n".join(f'"{key}": {_rows(value)}' for key, value in results.items())
        RESULTS.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(tables(results))


def _rows(value: Any) -> str:
    """A row per line."""
    if not isinstance(value, list):
        return json.dumps(value)
    lines = (json.dumps(row, separators=(",", ":")) for row in value)
    return "[\n" + ",\n".join(lines) + "\n]"


if __name__ == "__main__":
    main()
