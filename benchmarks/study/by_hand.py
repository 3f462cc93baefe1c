"""A study of ours as one writes it by hand, with pyroVED, scikit-learn and Optuna.

    python by_hand.py FOLDER --study quick-start [--n-trials N]

Needs no vaeopt; see ``requirements.txt``. ``FOLDER`` holds ``image.npy``, grey values in [0, 1],
and ``keypoints.npy``, (n, 2) rows and columns [px]. With ``parameters.json`` in it, a list of what
trials shall try, those are tried first. Writes ``by_hand.json`` and an Optuna database.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyroved as pv
import torch
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from pyroved.utils import transform_coordinates
from scipy.special import xlogy
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

Array = NDArray[np.floating[Any]]
LETTERS = {"none": None, "rotation": ["r"], "rotation+translation": ["r", "t"]}
MOST_FITTED = 2000


@dataclass(frozen=True)
class Plan:
    """What is fixed and searched: as in ``studies/NAME/study.toml``, but a plain training."""

    epochs: int
    batch_size: int
    components: int
    n_init: int
    windows: tuple[int, int]
    latent_dims: tuple[int, int]
    kl_scales: list[float] | tuple[float, float]
    population: int = 0
    """of NSGA-II; 0: TPE after 6 random trials"""
    learning_rate: float = 3e-3

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """What this trial tries."""
        if isinstance(self.kl_scales, list):
            kl_scale = trial.suggest_categorical("kl_scale", self.kl_scales)
        else:
            kl_scale = trial.suggest_float("kl_scale", *self.kl_scales, log=True)
        return {
            "size_px": trial.suggest_int("size_px", *self.windows, step=2),
            "invariances": trial.suggest_categorical("invariances", list(LETTERS)),
            "latent_dim": trial.suggest_int("latent_dim", *self.latent_dims),
            "kl_scale": kl_scale,
        }

    def sampler(self) -> BaseSampler:
        """That of the study."""
        if self.population:
            return NSGAIISampler(population_size=self.population, seed=0)
        return TPESampler(n_startup_trials=6, seed=0)


PLANS = {
    "quick-start": Plan(50, 64, 6, 2, (9, 13), (2, 2), [0.0003, 0.001, 0.003]),
    "pzt-domains": Plan(100, 128, 10, 5, (7, 15), (2, 3), (0.0001, 0.01), population=10),
}


def cut(image: Array, keypoints: Array, size: int) -> Array:
    """Windows centred on the pixels nearest to the key points."""
    corner = (np.ceil(keypoints - 0.5) - size // 2).astype(int)
    return np.stack([image[y : y + size, x : x + size] for y, x in corner])


def train(plan: Plan, patches: torch.Tensor, chosen: dict[str, Any], seed: int) -> pv.models.iVAE:
    """One model; its constructor empties Pyro's store, so there is only ever one at a time."""
    size = chosen["size_px"]
    model = pv.models.iVAE(
        (size, size), chosen["latent_dim"], LETTERS[chosen["invariances"]], seed=seed
    )
    loader = pv.utils.init_dataloader(patches, batch_size=plan.batch_size)
    trainer = pv.trainers.SVItrainer(model, lr=plan.learning_rate, seed=seed)
    for _ in range(plan.epochs):
        trainer.step(loader, scale_factor=chosen["kl_scale"] * size**2)
    return model


def decoded(model: pv.models.iVAE, latents: torch.Tensor) -> torch.Tensor:
    """Pictures in their own pose, which pyroVED's ``decode`` leaves out."""
    pictures = []
    with torch.no_grad():
        for z in latents.split(100):
            if not model.coord:
                pictures.append(model.decoder(z))
                continue
            angle, shift, scale, content = model.split_latent(z)
            if "t" in model.invariances:
                shift = (shift * model.t_prior).unsqueeze(1)
            grid = model.grid.expand(len(z), *model.grid.shape)
            pictures.append(
                model.decoder(transform_coordinates(grid, angle, shift, scale), content)
            )
    return torch.cat([picture.flatten(1) for picture in pictures])


def unexplained(x: Array, pictures: Array, core: int) -> float:
    """Share of the variance of the central pixels that reconstructions do not explain."""
    first = x.shape[1] // 2 - core // 2
    x, pictures = (a[:, first : first + core, first : first + core] for a in (x, pictures))
    return float(((x - pictures) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def collapse(mean: Array, std: Array) -> float:
    """Above 0 if a latent is not used, in powers of ten."""
    variance, noise = mean.var(axis=0), (std**2).mean(axis=0)
    kl = ((mean**2 + std**2 - 1) / 2 - np.log(std)).mean(axis=0)
    spread = np.linalg.eigvalsh(np.cov(mean, rowvar=False))
    narrow = np.minimum(np.log10(0.01 / variance), np.log10(noise / variance))
    worst = [narrow.max(), np.log10(0.05 / kl).max(), np.log10(1e-3 * spread[-1] / spread[0])]
    return float(np.clip(max(worst), -6, 6))


def fitted_points(mean: Array) -> Array:
    """The 90 % in the densest places, whitened; at most 2000."""
    n, d = mean.shape
    scaled = (mean - mean.mean(axis=0)) / mean.std(axis=0)
    kernel = KernelDensity(bandwidth=n ** (-1 / (d + 4))).fit(scaled)
    kept = np.argsort(-kernel.score_samples(scaled), kind="stable")[: int(np.ceil(0.9 * n - 1e-9))]
    points = mean[np.random.default_rng(0).permutation(np.sort(kept))[:MOST_FITTED]]
    values, vectors = np.linalg.eigh(np.cov(points, rowvar=False, ddof=0))
    return (points - points.mean(axis=0)) @ (vectors / np.sqrt(values) @ vectors.T)


def gain(points: Array, plan: Plan, seed: int) -> tuple[float, int]:
    """How much better than one Gaussian the best mixture is [nats per point], and its size."""
    (m, d), costs = points.shape, {}
    for k in range(1, plan.components + 1):
        mixture = GaussianMixture(k, n_init=plan.n_init, max_iter=500, tol=1e-5, random_state=seed)
        mixture.fit(points)
        share = mixture.predict_proba(points)
        if mixture.converged_ and m * mixture.weights_.min() >= d + 1:
            costs[k] = mixture.bic(points) / (2 * m) - xlogy(share, share).sum() / m
    best = min(costs, key=costs.__getitem__)
    return costs[1] - costs[best], best


def run(plan: Plan, image: Array, keypoints: Array, trial: optuna.Trial) -> tuple[float, float]:
    """One trial: unexplained variance, structure gain."""
    began = time.perf_counter()
    chosen = plan.suggest(trial)
    patches = cut(image, keypoints, chosen["size_px"])
    data = torch.from_numpy(patches)
    model = train(plan, data, chosen, seed=trial.number + 1)
    trial.set_user_attr("training_s", time.perf_counter() - began)
    mean, std = model.encode(data)
    content = slice(-chosen["latent_dim"], None)
    z = mean[:, content].double().numpy()
    pictures = decoded(model, mean).double().numpy().reshape(patches.shape)
    margin = collapse(z, std[:, content].double().numpy())
    trial.set_constraint("collapse", margin)
    trial.set_user_attr("collapse", margin)
    found, components = gain(fitted_points(z), plan, seed=trial.number)
    trial.set_user_attr("components", components)
    trial.set_user_attr("seconds", time.perf_counter() - began)
    return unexplained(patches.astype(float), pictures, plan.windows[0]), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--study", choices=PLANS, default="quick-start")
    parser.add_argument("--n-trials", type=int, default=30)
    parser.add_argument("--threads", type=int, help="default: those that torch takes")
    words = parser.parse_args()
    if words.threads:
        torch.set_num_threads(words.threads)
    folder, plan = words.folder, PLANS[words.study]
    image, keypoints = np.load(folder / "image.npy"), np.load(folder / "keypoints.npy")
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'by_hand.db'}",
        directions=["minimize", "maximize"],
        sampler=plan.sampler(),
    )
    given = folder / "parameters.json"
    for parameters in json.loads(given.read_text()) if given.exists() else []:
        study.enqueue_trial(parameters)
    study.optimize(lambda trial: run(plan, image, keypoints, trial), n_trials=words.n_trials)
    rows = [
        {"parameters": trial.params, "values": trial.values, **trial.user_attrs}
        for trial in study.trials
    ]
    result = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    (folder / "by_hand.json").write_text(json.dumps({**result, "trials": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
