"""Batched mixtures against scikit-learn and Pyro: how good, how fast.

    python benchmarks/mixtures.py quality    half an hour for scikit-learn's side, then kept
    python benchmarks/mixtures.py speed      a few minutes; keep the machine quiet

Writes JSON into benchmarks/results/. One thread, float64, processor time.
"""

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro import distributions, infer
from pyro.optim.clipped_adam import ClippedAdam
from scipy.stats import gaussian_kde
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_limits

from vaeopt.kernels.density import blocked, scott_bandwidth
from vaeopt.kernels.density import reference as density_reference
from vaeopt.kernels.mixture import reference as kernel
from vaeopt.kernels.mixture.em import fit_grid
from vaeopt.stages.mixture.bgmm import MEANS_LIMIT, Bgmm
from vaeopt.stages.mixture.direct import fit_directly
from vaeopt.stages.mixture.variational import fit_guide

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
SHAPES = ("clusters", "overlapping", "ring", "heavy tails", "uniform")
GRID = range(1, 11)
TOL = 1e-5
_dist: Any = distributions


def latent_set(number: int) -> Array:
    """One of the random sets: 5 shapes, d = 1 to 5, 200 to 3000 points, whitened."""
    rng = np.random.default_rng([4, number])
    shape, d = SHAPES[number % 5], number // 5 % 5 + 1
    n = round(200 * 15 ** rng.random())
    z = rng.standard_normal((n, d))
    if shape in ("clusters", "overlapping"):
        k = int(rng.integers(2, 9))
        centres = rng.uniform(-1, 1, (k, d)) * (8.0 if shape == "clusters" else 3.0)
        label = rng.choice(k, n, p=rng.dirichlet(np.full(k, 3.0)))
        z = centres[label] + z * rng.uniform(0.3, 1.5, (k, d))[label]
    elif shape == "ring":
        angle = rng.uniform(0, 2 * np.pi, n)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, :d]
        z = 0.15 * z
        z[:, : circle.shape[1]] += circle
    elif shape == "heavy tails":
        z = z / np.sqrt(rng.chisquare(3, (n, 1)) / 3)
    else:
        z = rng.uniform(-1, 1, (n, d))
    shift, transform = kernel.whitening(z, "whiten")
    return np.asarray((z - shift) @ transform.T)


def theirs(points: Array, k: int, seed: int, n_init: int = 10) -> Any:
    model = GaussianMixture(k, n_init=n_init, max_iter=500, tol=TOL, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(points)


def log_likelihood(points: Array, fit: Any) -> float:
    """Mean over the points, by the readable formulas."""
    parts = [getattr(fit, name) for name in ("weights_", "means_", "covariances_")]
    return float(kernel.log_likelihood(kernel.log_joint(points, *parts)).mean())


def theirs_of_set(number: int, shift: int = 0) -> dict[str, Any]:
    points, began = latent_set(number), time.process_time()
    m, d = points.shape
    fits = [theirs(points, k, number * 100 + k + shift) for k in GRID]
    seconds = time.process_time() - began
    return {
        "i": number,
        "m": m,
        "d": d,
        "ll": [log_likelihood(points, fit) for fit in fits],
        "least": [m * float(fit.weights_.min()) for fit in fits],
        "conv": [bool(fit.converged_) for fit in fits],
        "t": seconds,
    }


def ours_of_set(number: int) -> dict[str, Any]:
    points, began = latent_set(number), time.process_time()
    fits = fit_grid(points, GRID, tol=TOL, seed=number)
    seconds = time.process_time() - began
    parts = [(fit.weights, fit.means, fit.covariances) for fit in fits]
    joints = [kernel.log_joint(points, *part) for part in parts]
    return {
        "ll": [float(kernel.log_likelihood(joint).mean()) for joint in joints],
        "least": [len(points) * float(fit.weights.min()) for fit in fits],
        "conv": [fit.converged for fit in fits],
        "t": seconds,
    }


def kept_lines(path: Path, numbers: list[int], make: Callable[[int], dict[str, Any]]) -> list[Any]:
    """What earlier runs have written, and what they have not."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {row["i"]: row for row in map(json.loads, lines)}
    with path.open("a", encoding="utf-8") as file:
        for number in numbers:
            if number not in known:
                known[number] = make(number)
                print(json.dumps(known[number]), file=file, flush=True)
    return [known[number] for number in numbers]


def compared(first: list[Any], second: list[Any], base: list[Any]) -> dict[str, Any]:
    """How often and by how much the first is worse, over fits that base does not reject."""
    gaps = [
        (b - a, shape, k)
        for a_row, b_row, row in zip(first, second, base, strict=True)
        for k, a, b, least in zip(GRID, a_row["ll"], b_row["ll"], row["least"], strict=True)
        if least >= row["d"] + 1
        for shape in [SHAPES[row["i"] % 5]]
    ]
    worse = sorted((g for g, _, _ in gaps if g > 1e-6), reverse=True)
    return {
        "fits": len(gaps),
        "worse by more than": {
            f"{by:g}": sum(g > by for g in worse) for by in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
        },
        "better by more than": {
            f"{by:g}": sum(g < -by for g, _, _ in gaps) for by in (1e-6, 1e-4, 1e-2)
        },
        "worst": worse[:10],
        "worse by shape": {s: sum(g > 1e-6 for g, t, _ in gaps if t == s) for s in SHAPES},
        "worse by K": {k: sum(g > 1e-6 for g, _, kk in gaps if kk == k) for k in GRID},
    }


def rejected(rows: list[Any], sets: list[Any]) -> int:
    return sum(
        least < s["d"] + 1 for row, s in zip(rows, sets, strict=True) for least in row["least"]
    )


def quality(n_sets: int, again: int) -> dict[str, Any]:
    numbers = [int(i) for i in np.random.default_rng(0).permutation(200)[:n_sets]]
    base = kept_lines(RESULTS / "mixtures-scikit-learn.jsonl", numbers, theirs_of_set)
    ours = [ours_of_set(number) for number in numbers]
    other = kept_lines(
        RESULTS / "mixtures-scikit-learn-again.jsonl",
        numbers[:again],
        lambda number: theirs_of_set(number, shift=50_000),
    )
    return {
        "sets": len(numbers),
        "batched against scikit-learn": compared(ours, base, base),
        "scikit-learn with other seeds against itself": compared(other, base[:again], base[:again]),
        "fits with too light a component": {
            "batched": rejected(ours, base),
            "scikit-learn": rejected(base, base),
            "of": len(numbers) * len(GRID),
        },
        "not converged": {
            "batched": sum(not c for row in ours for c in row["conv"]),
            "scikit-learn": sum(not c for row in base for c in row["conv"]),
        },
        "processor seconds": {
            "batched": sum(row["t"] for row in ours),
            "scikit-learn": sum(row["t"] for row in base),
        },
    }


# ---- speed


def four_clusters(n: int) -> Array:
    rng = np.random.default_rng(0)
    means = np.array([(1.2, 0.8), (-1, 0.9), (-0.7, -1.1), (1, -1)])
    sds = np.array([0.25, 0.3, 0.35, 0.3])
    label = rng.choice(4, n, p=[0.35, 0.3, 0.2, 0.15])
    z = means[label] + sds[label, None] * rng.standard_normal((n, 2))
    return np.asarray((z - z.mean(axis=0)) / z.std(axis=0))


def interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each task, one after the other in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            began = time.process_time()
            task()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(all_) for name, all_ in seconds.items()}


def textbook_program(points: Array, steps: int, k: int = 20) -> None:
    """The model as one writes it first in Pyro, with all its options at those of the default."""
    x, d = torch.from_numpy(points), points.shape[1]
    one = torch.ones(k, d, dtype=torch.float64)

    def model() -> None:
        weights = pyro.sample("weights", _dist.Dirichlet(one[:, 0] * 0.1 / k))
        means = pyro.sample(
            "means", _dist.Uniform(-MEANS_LIMIT * one, MEANS_LIMIT * one).to_event(2)
        )
        sd = pyro.sample("sd", _dist.HalfNormal(0.2 * one).to_event(2))
        roots = pyro.sample("roots", _dist.LKJCholesky(d, 20.0 * one[:, 0]).to_event(1))
        scale_tril = sd.clamp(min=1e-3)[..., None] * roots
        mixture = _dist.MixtureSameFamily(
            _dist.Categorical(weights.clamp(min=1e-8)),
            _dist.MultivariateNormal(means, scale_tril=scale_tril),
        )
        with pyro.plate("points", len(x)):
            pyro.sample("z", mixture, obs=x)

    with pyro.get_param_store().scope(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guide = infer.autoguide.AutoDiagonalNormal(model, init_scale=0.1)
        elbo: Any = infer.Trace_ELBO()
        guide()
        optimizer = ClippedAdam(guide.parameters(), lr=2e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            elbo.differentiable_loss(model, guide).backward()
            optimizer.step()


def speed(rounds: int, steps: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    recipe = Bgmm(steps=steps, stop_gain_nats=0.0, elbo_draws=2)
    for n in (2000, 8000):
        points = four_clusters(n)
        h = scott_bandwidth(n, 2)
        found[f"grid K = 1 to 10, ten starts, M = {n}"] = interleaved(
            {
                "batched": lambda points=points: fit_grid(points, GRID, tol=TOL),
                "scikit-learn": lambda points=points: [theirs(points, k, k) for k in GRID],
            },
            rounds,
        )
        found[f"Bayesian mixture, {steps} steps, M = {n}"] = interleaved(
            {
                "direct": lambda points=points: fit_directly(recipe, points, least_sd=1e-3, seed=0),
                "pyro": lambda points=points: fit_guide(recipe, points, least_sd=1e-3, seed=0),
                "pyro, textbook, no overlap": lambda points=points: textbook_program(points, steps),
            },
            rounds,
        )
        found[f"kernel density, leave one out where it can, M = {n}"] = interleaved(
            {
                "blocked": lambda z=points, h=h: blocked.log_density_loo(z, h),
                "reference": lambda z=points, h=h: density_reference.log_density_loo(z, h),
                "scipy": lambda z=points, h=h: gaussian_kde(z.T, bw_method=h)(z.T),
                "scikit-learn": lambda z=points, h=h: (
                    KernelDensity(bandwidth=h, rtol=0, atol=0).fit(z).score_samples(z)
                ),
            },
            rounds,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["quality", "speed"])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument(
        "--again", type=int, default=25, help="sets for scikit-learn with other seeds"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()
    with threadpool_limits(1):
        if given.what == "quality":
            found = quality(given.sets, given.again)
        else:
            found = speed(given.rounds, given.steps)
    found["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load before and after": [round(before[0], 1), round(os.getloadavg()[0], 1)],
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    text = json.dumps(found, indent=2)
    (RESULTS / f"mixtures-{given.what}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
