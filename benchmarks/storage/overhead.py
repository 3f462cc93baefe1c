"""What does a trial cost beside its training: asking, drawing, files, records, telling?

    python benchmarks/storage/overhead.py [--quick] [--samplers tpe gp ...] [--sizes 10 100 ...]

A study of the size of ``benchmarks/study/quick-start`` (two objectives, a constraint) with six
parameters holds N finished trials, each with the attributes and files of a real one. Then trials go
through the loop of the package as always, except that the training is left out: its result is that
of the real trial, and pictures are not drawn. The peer is plain Optuna in the same run and beside
the same N trials: ask, six ``suggest`` calls, constraint and tell on its default SQLite, with one
sampler object that is kept; it writes no files and no attributes.

Writes ``benchmarks/results/overhead.json`` and prints a table.
"""

import argparse
import contextlib
import datetime
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from vaeopt.study import optimize as loop
from vaeopt.study import tell as telling
from vaeopt.study.asking.samplers import Sampler
from vaeopt.study.attributes import SEED_NUMBER
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.results.access import load_trial
from vaeopt.study.session import prepare
from vaeopt.study.storage import create_or_load, storage_url
from vaeopt.study.storage.bulk import add_trials
from vaeopt.workflow import Score

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "overhead.json"
SEARCH = {
    "patches.size_px": {"low": 7, "high": 15, "step": 2},
    "vae.invariances": {"choices": [[], ["rotation"], ["rotation", "translation"]]},
    "vae.latent_dim": {"low": 1, "high": 4},
    "vae.kl_scale": {"low": 0.0001, "high": 0.01, "log": True},
    "vae.width": {"low": 16, "high": 128, "step": 16},
    "mixture.n_init": {"low": 1, "high": 5},
}
HEAD = """\
| sampler | N | draw | all else | of it files | whole (quartiles) | processor | of it draw | \
peer's processor |
|---|---|---|---|---|---|---|---|---|"""
TRIAL_S = 2.0  # the training that the bookkeeping is compared with [s]
BAR = 0.02
Spent = dict[str, list[float]]


def study_file(folder: Path, sampler: str, n_trials: int) -> StudyFile:
    """The quick start with six parameters, all settings in one place."""
    table = open_study(ROOT / "benchmarks" / "study" / "quick-start").settings.model_dump(
        mode="json", exclude_unset=True
    )
    table["search"] = SEARCH
    table["optuna"] = {"sampler": sampler, "n_trials": n_trials, "figures": "none"}
    return StudyFile(StudySettings(**table), folder)


def draw(rng: np.random.Generator, space: dict[str, Any]) -> dict[str, Any]:
    """A point of the space."""
    point: dict[str, Any] = {}
    for name, held in space.items():
        if isinstance(held, optuna.distributions.CategoricalDistribution):
            point[name] = held.choices[rng.integers(len(held.choices))]
        elif isinstance(held, optuna.distributions.IntDistribution):
            point[name] = int(rng.choice(range(held.low, held.high + 1, held.step)))
        else:
            point[name] = float(np.exp(rng.uniform(np.log(held.low), np.log(held.high))))
    return point


def past(model: FrozenTrial, space: dict[str, Any], number: int, sampler: str) -> FrozenTrial:
    """A finished trial with the records of the model, at another point of the space."""
    rng = np.random.default_rng([0, number])
    system = {k: v for k, v in model.system_attrs.items() if k.startswith("artifacts:")}
    system["constraints"] = [float(rng.uniform(-1, 0.3))]
    if sampler == "nsga2":
        system["NSGAIISampler:generation"] = number // 20
    now = datetime.datetime.now()  # as optuna writes it
    trial = create_trial(
        values=[float(value) for value in rng.uniform(0, 1, 2)],
        params=draw(rng, space),
        distributions=space,
        user_attrs={**model.user_attrs, SEED_NUMBER: number},
        system_attrs=system,
    )
    trial.number, trial.datetime_start, trial.datetime_complete = number, now, now
    return trial


@contextlib.contextmanager
def timed(
    spent: Spent,
    owner: Any,
    name: str,
    part: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[None]:
    """Adds what a function takes to the part of the trial that runs."""
    inner: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **words: Any) -> Any:
        start = clock()
        try:
            return inner(*args, **words)
        finally:
            spent[part][-1] += clock() - start

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, inner)


class Show:
    """Progress that closes the account of a trial."""

    def __init__(self, spent: Spent) -> None:
        self._spent = spent
        self.last = self.last_cpu = 0.0

    def started(self, study: Study, session: Any, total: int) -> None:
        """The first account."""
        self._begin()

    def note(self, line: str) -> None:
        """Nothing."""

    def training(self, numbers: Any) -> None:
        """Nothing."""

    def epoch(self, epoch: int, epochs: int, loss_nats: float) -> None:
        """Nothing."""

    def working(self, study: Study, running: Any) -> None:
        """Nothing."""

    def trial_done(self, study: Study, trial: FrozenTrial) -> None:
        """The next account."""
        assert trial.state == optuna.trial.TrialState.COMPLETE, trial.user_attrs
        self._spent["whole"][-1] = time.perf_counter() - self.last
        self._spent["processor"][-1] = time.process_time() - self.last_cpu
        self._begin()

    def _begin(self) -> None:
        for part in PARTS:
            self._spent[part].append(0.0)
        self.last, self.last_cpu = time.perf_counter(), time.process_time()


PARTS = ("ask", "draw", "draw_processor", "files", "attach", "told", "whole", "processor")


def ours(folder: Path, sampler: str, n: int, trials: int, real: Any) -> Spent:
    """Seconds of each part of every trial behind N finished ones."""
    model, run = real
    file = study_file(folder, sampler, n + trials)
    session = prepare(file)
    study = create_or_load(session, storage_url(file))
    space = dict(session.space.distributions)
    held = [past(model, space, number, sampler) for number in range(n)]
    add_trials(study._storage, study._study_id, held)
    del study
    spent: Spent = defaultdict(list)
    values = iter(np.random.default_rng(1).uniform(0, 1, (n + trials, 2)))
    labels = [reward.label for reward in file.settings.workflow.rewards]

    def scores(*_: Any) -> dict[str, Score]:
        one = next(values)
        return {name: Score(float(v), 0.0, 1) for name, v in zip(labels, one, strict=True)}

    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (loop, "walk_many", lambda workflows, *_, **__: iter([run] * len(workflows))),
            (telling, "scores_of", scores),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        for owner, name, part in (
            (loop, "ask_together", "ask"),
            (telling, "attach", "attach"),
            (telling, "keep_files", "files"),
            (loop, "tell", "told"),
        ):
            stack.enter_context(timed(spent, owner, name, part))
        build = type(file.settings.optuna.sampler).build

        def built(self: Sampler, **words: Any) -> BaseSampler:
            made = build(self, **words)
            for name in ("infer_relative_search_space", "sample_relative", "sample_independent"):
                stack.enter_context(timed(spent, made, name, "draw"))
                cpu = timed(spent, made, name, "draw_processor", time.process_time)
                stack.enter_context(cpu)
            return made

        kind = type(file.settings.optuna.sampler)
        stack.callback(setattr, kind, "build", build)
        kind.build = built  # type: ignore[method-assign]
        loop.optimize(file, progress=Show(spent))  # pictures have a benchmark of their own
    return {part: found[1:-1] for part, found in spent.items()}  # the first one reads the study


def peer(folder: Path, sampler: str, n: int, trials: int, real: Any) -> Spent:
    """Plain Optuna with a sampler that is kept, on its default SQLite."""
    model, _ = real
    space = dict(study_file(folder, sampler, 1).settings.space.distributions)
    kept: BaseSampler = {
        "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, seed=0),
        "gp": lambda: optuna.samplers.GPSampler(seed=0),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=20, seed=0),
        "random": lambda: optuna.samplers.RandomSampler(seed=0),
    }[sampler]()
    study = optuna.create_study(
        storage=f"sqlite:///{folder}/peer.db", directions=["minimize", "maximize"], sampler=kept
    )
    bare = [past(model, space, number, sampler) for number in range(n)]
    for trial in bare:
        trial.user_attrs = {}
    add_trials(study._storage, study._study_id, bare)
    spent: Spent = defaultdict(list)
    rng = np.random.default_rng(1)
    for _ in range(trials):
        start, cpu = time.perf_counter(), time.process_time()
        trial = study.ask(fixed_distributions=space)
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", [rng.uniform(-1, 0.3)])
        study.tell(trial, [float(v) for v in rng.uniform(0, 1, 2)])
        spent["whole"].append(time.perf_counter() - start)
        spent["processor"].append(time.process_time() - cpu)
    return {part: found[1:] for part, found in spent.items()}


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds."""
    low, median, high = np.percentile(np.asarray(seconds) * 1e3, [25, 50, 75])
    return {"median_ms": round(median, 2), "low_ms": round(low, 2), "high_ms": round(high, 2)}


def real_trial(folder: Path) -> tuple[FrozenTrial, Any]:
    """Records and arrays of a trial that was really trained."""
    file = study_file(folder, "random", 1)
    study = loop.optimize(file)
    return study.trials[0], load_trial(file, 0)


def line(case: dict[str, Any]) -> str:
    """One row of the table."""
    found = case["ours"]

    def cell(part: str) -> str:
        return f"{found[part]['median_ms']:.1f}"

    whole = found["whole"]
    rest = found["whole"]["median_ms"] - found["draw"]["median_ms"]
    return (
        f"| {case['sampler']} | {case['n']} | {cell('draw')} | {rest:.1f} | {cell('files')} | "
        f"{whole['median_ms']:.1f} ({whole['low_ms']:.1f} to {whole['high_ms']:.1f}) | "
        f"{cell('processor')} ({found['processor']['median_ms'] / 1e3 / TRIAL_S:.1%}) | "
        f"{cell('draw_processor')} | "
        f"{case['peer']['processor']['median_ms']:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials, small studies")
    parser.add_argument("--samplers", nargs="+", default=["tpe", "nsga2", "gp", "random"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    words = parser.parse_args()
    sizes, trials = ([10], 4) if words.quick else (words.sizes, words.trials)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    load, cases = os.getloadavg()[0], []
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        real = real_trial(Path(folder) / "real")
        for sampler in words.samplers:
            for n in sizes:
                here = Path(folder) / f"{sampler}-{n}"
                here.mkdir()
                own = ours(here, sampler, n, trials + 2, real)
                other = peer(here, sampler, n, trials + 1, real)
                case = {
                    "sampler": sampler,
                    "n": n,
                    "ours": {part: summary(found) for part, found in own.items()},
                    "peer": {part: summary(found) for part, found in other.items()},
                }
                cases.append(case)
                print(line(case), flush=True)
    if not words.quick:
        results = {"load": load, "trials": trials, "bar": BAR, "cases": cases}
        words.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
