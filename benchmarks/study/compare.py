"""How long does a whole study take, beside the same study written by hand?

    python benchmarks/study/compare.py --python PEER/bin/python [--study NAME] [--trials N]
                                       [--recipe shipped|by-hand] [--set STAGE.NAME=WORD]

Runs ``vaeopt optimize`` on a study of ours, start of the program included, then ``by_hand.py`` in
an environment that has pyroVED (``requirements.txt``), on the same image and key points and with
the parameters that our trials had, one by one. With ``--trials`` only the first N of them are
done by hand, and the time of all is estimated from those. Ours are then trained again with
another seed: two studies can agree no better with each other than one does with itself.

The shipped studies train by the recipe of preset ``quick``; with ``--recipe by-hand`` ours trains
as long, in as large batches and at the rate of ``by_hand.py``.

Adds to ``benchmarks/results/study.json`` and prints a table.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import spearmanr

from vaeopt.core.seeds import Seeds
from vaeopt.study.file import open_study
from vaeopt.study.fronts.pareto import margin
from vaeopt.study.results.access import load_study, metric_names
from vaeopt.study.session import Session, prepare
from vaeopt.workflow import rewards_of, walk

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "study.json"
STUDIES = {
    "quick-start": HERE / "quick-start",
    "pzt-domains": HERE.parents[1] / "studies" / "pzt-domains",
}
RECIPES = {  # those of by_hand.py
    "quick-start": "epochs = 50, batch_size = 64, learning_rate = 0.003",
    "pzt-domains": "epochs = 100, batch_size = 128, learning_rate = 0.003",
}
CHOICES = ("size_px", "invariances")
HAND = ("values", "collapse", "seconds", "training_s", "components")


def ours(folder: Path, n_trials: int) -> float:
    """Seconds of a whole study through the command line."""
    command = [sys.executable, "-m", "vaeopt", "optimize", str(folder), "--quiet"]
    start = time.perf_counter()
    subprocess.run([*command, "--n-trials", str(n_trials)], check=True)  # noqa: S603
    return time.perf_counter() - start


def change(file: Path, settings: list[str]) -> None:
    """Set ``stage.name=word`` in the one-line table of a stage."""
    text = file.read_text(encoding="utf-8")
    for setting in settings:
        path, _, word = setting.partition("=")
        stage, name = path.split(".")
        text, found = re.subn(
            rf"^({stage}\s*=\s*{{)", rf'\1 {name} = "{word}",', text, flags=re.MULTILINE
        )
        assert found == 1, f"no table of {stage} in {file}"
    file.write_text(text, encoding="utf-8")


def train_as_by_hand(file: Path, study: str) -> None:
    """Take away the preset, and write the recipe of the other script."""
    text = re.sub(r"^preset .*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text, found = re.subn(r"^(vae\s*=\s*{)", rf"\1 {RECIPES[study]},", text, flags=re.MULTILINE)
    assert found == 1, f"no table of vae in {file}"
    file.write_text(text, encoding="utf-8")


def by_hand(folder: Path, python: str, study: str, n_trials: int, threads: int | None) -> float:
    """The same by the other script."""
    command = [python, str(HERE / "by_hand.py"), str(folder), "--study", study]
    command += ["--n-trials", str(n_trials)]
    if threads:
        command += ["--threads", str(threads)]
    start = time.perf_counter()
    subprocess.run(command, check=True)  # noqa: S603
    return time.perf_counter() - start


def parameters_of(trial: optuna.trial.FrozenTrial, session: Session) -> dict[str, Any]:
    """As the other script names them; what is not searched is fixed."""
    given = {path.split(".")[-1]: value for path, value in trial.params.items()}
    return {"latent_dim": session.file.settings.workflow.vae.latent_dim, **given}


def again(session: Session, trial: optuna.trial.FrozenTrial) -> list[float]:
    """Values of the same parameters with another seed."""
    workflow = session.file.settings.workflow.with_values(trial.params)
    run = walk(
        workflow,
        session.micrograph,
        comparison=session.comparison,
        seeds=Seeds(session.file.settings.optuna.seed + 1, trial.number),
        cache=session.cache,
    )
    return list(rewards_of(workflow, run).values())


def front(rows: list[dict[str, Any]], who: str, directions: list[str]) -> set[int]:
    """Healthy trials that no other healthy one beats in all rewards."""
    sign = np.array([1 if d == "minimize" else -1 for d in directions])
    costs = {
        i: sign * row[who]["values"] for i, row in enumerate(rows) if row[who]["collapse"] <= 0
    }
    return {
        i
        for i, cost in costs.items()
        if not any((o <= cost).all() and (o < cost).any() for o in costs.values())
    }


def best_choices(rows: list[dict[str, Any]], who: str, direction: str, reward: int) -> list[Any]:
    """Of every choice, the value whose healthy trials are best on average."""
    found = []
    for name in CHOICES:
        values: dict[Any, list[float]] = {}
        for row in rows:
            if row[who]["collapse"] <= 0:
                values.setdefault(row["parameters"][name], []).append(row[who]["values"][reward])
        pick = min if direction == "minimize" else max
        means = {choice: float(np.mean(found)) for choice, found in values.items()}
        found.append(pick(means, key=means.__getitem__) if means else None)
    return found


def conclusions(
    rows: list[dict[str, Any]], names: list[str], directions: list[str], who: tuple[str, str]
) -> dict[str, Any]:
    """How far two sides agree over the same parameters."""
    a, b = who
    found: dict[str, Any] = {"between": list(who), "rewards": {}}
    for i, name in enumerate(names):
        first, second = ([row[side]["values"][i] for row in rows] for side in who)
        # Searches repeat parameters: a pair of trials counts, whatever was tried before.
        found["rewards"][name] = {
            "spearman": float(spearmanr(first, second).statistic) if len(rows) > 2 else None,
            "best": {side: best_choices(rows, side, directions[i], i) for side in who},
        }
    one, other = (front(rows, side, directions) for side in who)
    found["front"] = {a: sorted(one), b: sorted(other), "shared": sorted(one & other)}
    return found


def table(results: dict[str, Any]) -> str:
    """Markdown: time, then agreement."""
    pairs = results["ratio_per_trial"]
    lines = [
        "| study | trials | ours | by hand | ratio | per trial: median (quartiles) |",
        "|---" * 6 + "|",
        f"| {results['study']} | {results['n_trials']} ({results['trials_by_hand']} by hand) "
        f"| {results['ours_s']:.0f} s | {results['by_hand_all_s']:.0f} s "
        f"| {results['ratio']:.1f} | {pairs[1]:.1f} ({pairs[0]:.1f} to {pairs[2]:.1f}) |",
        "",
        f"| reward | between | Spearman | best {' and '.join(CHOICES)} | fronts, shared |",
        "|---" * 5 + "|",
    ]
    for part in results["conclusions"]:
        a, b = part["between"]
        sizes = " / ".join(str(len(part["front"][key])) for key in (a, b, "shared"))
        for name, row in part["rewards"].items():
            rank = "" if row["spearman"] is None else f"{row['spearman']:.2f}"
            best = "; ".join(" ".join(map(str, row["best"][side])) for side in (a, b))
            lines.append(f"| {name} | {a}, {b} | {rank} | {best} | {sizes} |")
    return "\n".join(lines)


def compared(words: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both sides, in this folder."""
    # The folder has the name of the study, so that plug-ins or files beside it would be found.
    mine = folder / words.study
    shutil.copytree(
        STUDIES[words.study], mine, ignore=shutil.ignore_patterns("*.db*", "artefacts", "report")
    )
    if words.recipe == "by-hand":
        train_as_by_hand(mine / "study.toml", words.study)
    change(mine / "study.toml", words.set)
    ours_s = ours(mine, words.n_trials)
    session, study = prepare(open_study(mine)), load_study(mine)
    trials = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    some = trials[: words.trials or len(trials)]
    np.save(folder / "image.npy", session.micrograph.pixels)
    np.save(folder / "keypoints.npy", session.keypoints.yx_px)
    parameters = [parameters_of(trial, session) for trial in some]
    (folder / "parameters.json").write_text(json.dumps(parameters))
    by_hand_s = by_hand(folder, words.python, words.study, len(some), words.threads)
    theirs = json.loads((folder / "by_hand.json").read_text())
    rows = []
    for trial, asked, other in zip(some, parameters, theirs["trials"], strict=True):
        assert other["parameters"] == asked  # else pairs are none
        assert trial.duration is not None
        mean = {
            "values": trial.values,
            "collapse": margin(trial),
            "seconds": trial.duration.total_seconds(),
            "stages_s": trial.user_attrs["vaeopt:primitives"]["seconds"],
        }
        fresh = {**mean, "values": again(session, trial)} if words.again else None
        hand = {key: other[key] for key in HAND}
        rows.append({"parameters": asked, "ours": mean, "again": fresh, "by hand": hand})
    seconds = {side: [row[side]["seconds"] for row in rows] for side in ("ours", "by hand")}
    # What is outside of trials is spent once; trials are as long as those that were run, each
    # beside its own of ours.
    share = sum(t.duration.total_seconds() for t in trials if t.duration) / sum(seconds["ours"])
    outside = by_hand_s - sum(seconds["by hand"])
    all_by_hand = outside + sum(seconds["by hand"]) * share
    names = metric_names(study)
    directions = [d.name.lower() for d in study.directions]
    pairs = [("ours", "by hand")] + ([("ours", "again"), ("again", "by hand")] * words.again)
    return {
        "study": words.study,
        "recipe": words.recipe,
        "changed": words.set,
        "machine": platform.processor() or platform.machine(),
        "torch": theirs["torch"],
        "threads_by_hand": theirs["threads"],
        "keypoints": len(session.keypoints),
        "n_trials": len(trials),
        "trials_by_hand": len(some),
        "ours_s": ours_s,
        "by_hand_s": by_hand_s,
        "by_hand_all_s": all_by_hand,
        "ratio": all_by_hand / ours_s,
        "ratio_per_trial": np.percentile(
            np.divide(seconds["by hand"], seconds["ours"]), [25, 50, 75]
        ).tolist(),
        "conclusions": [conclusions(rows, names, directions, pair) for pair in pairs],
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="interpreter that has pyroVED")
    parser.add_argument("--study", choices=STUDIES, default="quick-start")
    parser.add_argument("--n-trials", type=int, default=30, help="of ours")
    parser.add_argument("--recipe", choices=["shipped", "by-hand"], default="shipped")
    parser.add_argument(
        "--set", metavar="STAGE.NAME=WORD", action="append", default=[], help="in ours only"
    )
    parser.add_argument("--trials", type=int, help="by hand (default: all)")
    parser.add_argument("--threads", type=int, help="by hand (default: those that torch takes)")
    parser.add_argument(
        "--again",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train ours again with another seed",
    )
    words = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        results = compared(words, Path(name))
    results["load"] = [load, os.getloadavg()[0]]
    RESULTS.parent.mkdir(exist_ok=True)
    label = " ".join([words.study, words.recipe, *words.set])
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    text = json.dumps({**known, label: results}, indent=1) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
