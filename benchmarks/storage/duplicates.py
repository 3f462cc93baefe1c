"""How often do samplers repeat themselves, and which policy reports the better configuration?

    python benchmarks/storage/duplicates.py [--seeds N] [--trials N] [--samplers KIND ...]

A toy objective with noise (standard deviation 0.1) over two finite spaces, of 64 and of 512 points,
in place of trainings; trials are asked for and told as in a real study, in a storage in memory.
Reported are the share of trials whose point had been tried before, the value of the winner as
reported, its regret, and the regret of the winner after the five leaders were evaluated five times
each, as ``vaeopt confirm`` does. Values are differences to the best point of the space, without
noise: a regret is how much worse the winner truly is.

Prints a table, means over seeds with the standard error of the regrets, and writes
``benchmarks/results/duplicates.json``; what it holds of other samplers stays.
"""

import argparse
import json
import warnings
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from vaeopt.study.asking.ask import ask
from vaeopt.study.asking.points import point_of
from vaeopt.study.asking.repeats import average
from vaeopt.study.file import StudyFile, StudySettings
from vaeopt.study.fronts.pareto import finished
from vaeopt.study.results.confirm import leaders_of
from vaeopt.study.session import Session, prepare

RESULTS = Path(__file__).parents[1] / "results" / "duplicates.json"
NOISE = 0.1
SAMPLERS: dict[str, Any] = {
    "random": {"kind": "random"},
    "tpe": {"kind": "tpe", "n_startup_trials": 10},
    "nsga2": {"kind": "nsga2", "population_size": 16},
    "gp": {"kind": "gp", "n_startup_trials": 10},
}
POLICIES = ("allow", "skip", "replicate")
CONFIRMED, FRESH = 5, 5  # leaders that are trained again, and how often
SMALL = {
    "patches.size_px": {"low": 5, "high": 35, "step": 2},
    "vae.invariances": {
        "choices": ["none", "rotation", "translation", "rotation+translation"],
    },
}
SPACES = {64: SMALL, 512: SMALL | {"vae.latent_dim": {"low": 1, "high": 8}}}
# Where along the windows each choice is best, and how good it is there.
CENTRES, FLOORS = np.array([0.2, 0.45, 0.7, 0.9]), np.array([0.15, 0.0, 0.05, 0.1])


def truth(place: Any) -> float:
    """What a configuration is worth, without noise; to be minimised, 0 to 1.5."""
    window, choice, *rest = place
    along = 1.5 * (window / 15 - CENTRES[choice]) ** 2 + FLOORS[choice]
    return float(along + sum(0.4 * (latent / 7 - 0.4) ** 2 for latent in rest))


def session_of(n_points: int, sampler: str, policy: str, seed: int) -> Session:
    """A session that was never trained in: only its settings matter."""
    optuna_table = {"sampler": SAMPLERS[sampler], "seed": seed, "duplicates": policy}
    settings = StudySettings(
        name="toy",
        image={"dataset": "ferroelectric-domains"},
        workflow={
            "keypoints": {"kind": "grid", "spacing_px": 12},
            "mixture": {"kind": "gmm", "components": [1, 2]},
            "rewards": ["reconstruction"],
        },
        search=SPACES[n_points],
        optuna=optuna_table,
    )
    if n_points not in prepared:
        prepared[n_points] = prepare(StudyFile(settings, Path()))
    return replace(prepared[n_points], file=StudyFile(settings, Path()))


prepared: dict[int, Session] = {}


def search(session: Session, trials: int) -> dict[str, float]:
    """One study; what it reported and what that is worth."""
    distributions = session.space.distributions
    study = optuna.create_study(direction="minimize")
    seed = session.file.settings.optuna.seed
    tried: Counter[Any] = Counter()
    repeats = 0
    for number in range(trials):
        trial = ask(study, session)
        if trial is None:
            break
        place = point_of(trial.params, distributions)
        repeats += tried[place] > 0
        tried[place] += 1
        noise = float(np.random.default_rng([seed, number]).normal(scale=NOISE))
        values, margin = average(study, session, trial, [truth(place) + noise], -1.0)
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", [margin])
        study.tell(trial, values)
    leaders = leaders_of(study, top=CONFIRMED)
    worth = [truth(point_of(leader.params, distributions)) for leader in leaders]
    rng = np.random.default_rng([seed, trials])
    fresh = [w + rng.normal(scale=NOISE, size=FRESH).mean() for w in worth]
    sizes = (16, 4, 8)[: len(distributions)]
    least = min(truth(place) for place in product(*map(range, sizes)))
    done = len(finished(study))
    return {
        "trials": done,
        "repeats": repeats / done,
        "points": len(tried),
        "reported": leaders[0].values[0] - least,
        "regret": worth[0] - least,
        "confirmed": worth[int(np.argmin(fresh))] - least,
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--seeds", type=int, default=20)
    words.add_argument("--trials", type=int, default=64)
    words.add_argument("--samplers", nargs="*", default=list(SAMPLERS))
    given = words.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    rows = []
    print("| points | sampler | duplicates | repeats | tried | reported | regret | confirmed |")
    print("|---|---|---|---|---|---|---|---|")
    for n_points, sampler, policy in product(SPACES, given.samplers, POLICIES):
        runs = [
            search(session_of(n_points, sampler, policy, seed), given.trials)
            for seed in range(given.seeds)
        ]
        columns = {name: np.array([run[name] for run in runs]) for name in runs[0]}
        mean = {name: float(column.mean()) for name, column in columns.items()}
        error = {
            name: float(columns[name].std(ddof=1) / np.sqrt(len(runs)))
            for name in ("regret", "confirmed")
        }
        rows.append(
            {"space": n_points, "sampler": sampler, "policy": policy, "seeds": given.seeds}
            | mean
            | {f"{name}_error": value for name, value in error.items()}
        )
        print(
            f"| {n_points} | `{sampler}` | `{policy}` | {100 * mean['repeats']:.0f} % "
            f"| {mean['points']:.0f} | {mean['reported']:.3f} "
            f"| {mean['regret']:.3f} ± {error['regret']:.3f} "
            f"| {mean['confirmed']:.3f} ± {error['confirmed']:.3f} |",
            flush=True,
        )
    held = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    rows = [row for row in held if row["sampler"] not in given.samplers] + rows
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
