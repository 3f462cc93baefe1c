"""How long until a VAE is as good as the peer's after 1000 epochs?

    python benchmarks/quality.py [--quick] [--threads N] [--study FOLDER] [--invariances r|t|rt]

Good means: the loss of patches that were not trained on, with the analytic KL and the mean of eight
draws. The image is cut into four strips in turn, 20 % of the key points at each border; windows
that overlap the strip are left out of the training. Every strip has its own seed.

The peer's recipe is Adam 1e-3, batches of 128, the sampled KL, 1000 epochs. Its loss is followed
with our own step in float32, whose loss and the peer's differ by less than 2e-7 of their value for
equal weights and noise (``benchmarks/training.py``), and its time is that of its steps, measured
between ours. Overfitting makes the peer's loss rise again long before epoch 1000, so two marks are
reported: its loss at the end, and the lowest that it had at any of the epochs looked at, which a
user without held-out patches would not know. Our time is that of whole trainings by ``train``.

Writes ``benchmarks/results/quality.json`` and prints a table.
"""

import argparse
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from torch import Tensor
from training import BATCH, INVARIANCES, clock_for, peer_steps, processor

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import KeyPoints, Patches
from vaeopt.kernels.decoder import native
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.stages.vae import VaeSettings, train
from vaeopt.stages.vae.model import InvariantVae, build, restore
from vaeopt.stages.vae.trainers import Job, choose_trainer
from vaeopt.study.file import open_study
from vaeopt.study.session import prepare

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "quality.json"
WINDOW_PX, EPOCHS, EVERY, DRAWS = 13, 1000, 20, 8
RECIPES: dict[str, dict[str, Any]] = {
    "plain, 200 epochs": {"epochs": 200},
    "cycle to 0.004, 200 epochs": {
        "epochs": 200,
        "learning_rate": 4e-3,
        "schedule": "one-cycle",
    },
    **{
        f"cycle to 0.008, batch 64, 1/4 of the pixels, {epochs} epochs": {
            "epochs": epochs,
            "learning_rate": 8e-3,
            "schedule": "one-cycle",
            "batch_size": 64,
            "pixels": 0.25,
        }
        for epochs in (30, 60, 120)
    },
}


class Fold(NamedTuple):
    """What is trained on, and what is not; neither shares a pixel with the other."""

    seed: int
    known: Patches
    held_out: Tensor


def folds(patches: Patches, keypoints: KeyPoints) -> Iterator[Fold]:
    """Strips at the bottom, right, top and left border."""
    for seed in range(4):
        place = keypoints.yx_px[:, seed % 2] * (1 if seed < 2 else -1)
        border = np.quantile(place, 0.8)
        known = place <= border - patches.size_px
        yield Fold(seed, _some(patches, known), _rows(_some(patches, place > border)))


def _some(patches: Patches, which: NDArray[np.bool_]) -> Patches:
    return Patches(pixels=patches.pixels[which], keypoint_index=np.arange(np.count_nonzero(which)))


def _rows(patches: Patches) -> Tensor:
    return torch.tensor(patches.pixels.reshape(len(patches), -1))


@torch.no_grad()
def loss_of(model: InvariantVae, patches: Tensor) -> float:
    """Per patch [nats]; the analytic KL whatever the model was trained with."""
    settings = model.settings
    exact = {"kl_estimator": "analytic", "precision": "float32"}
    model.settings = settings.model_copy(update=exact)
    generator = torch.Generator().manual_seed(0)
    size = (len(patches), settings.n_codes + settings.latent_dim)
    total = 0.0
    for _ in range(DRAWS):
        total += float(model.loss_sum(patches, torch.randn(size, generator=generator)))
    model.settings = settings
    return total / DRAWS / len(patches)


def peer_curve(settings: VaeSettings, fold: Fold, epochs: int) -> list[tuple[int, float]]:
    """Epoch and held-out loss of the peer's recipe."""
    job = Job(settings, _rows(fold.known), WINDOW_PX, (Seeds(0, fold.seed),))
    trainer = choose_trainer([job])
    model, curve = build(settings, WINDOW_PX, seed=0), []
    for epoch in range(1, epochs + 1):
        trainer.epoch([0], settings.learning_rate)
        if epoch % EVERY == 0:
            model.load_state_dict(trainer.weights(0))
            curve.append((epoch, loss_of(model, fold.held_out)))
    return curve


def measure(fold: Fold, common: dict[str, Any], epochs: int, threads: int) -> dict[str, Any]:
    """Losses and seconds of everybody on one strip."""
    clock, data = clock_for(threads), _rows(fold.known)
    plain = VaeSettings(**common, kl_estimator="sampled", engine="native")
    turns = peer_steps(plain, WINDOW_PX, data)[0]
    turns()  # warms up

    def peer_ms() -> float:
        start = clock()
        return sum(turns() for _ in range(3)) and (clock() - start) / 6 * 1e3

    steps = -(-len(data) // BATCH)
    ms, ours = [peer_ms()], {}
    precision = "bf16" if native.has_bf16() else "float32"
    train(VaeSettings(**common, precision=precision, epochs=1), fold.known, seeds=Seeds(0, 0))
    for name, recipe in RECIPES.items():
        settings = VaeSettings(**common, precision=precision, **recipe)
        start = clock()
        vae = train(settings, fold.known, seeds=Seeds(0, fold.seed))
        seconds = clock() - start
        ours[name] = {"seconds": seconds, "loss": loss_of(restore(vae), fold.held_out)}
        ms.append(peer_ms())
    curve = peer_curve(plain, fold, epochs)
    ms.append(peer_ms())
    at, losses = zip(*curve, strict=True)
    best = int(np.argmin(losses))
    per_epoch = float(np.median(ms)) * steps / 1e3
    return {
        "patches": [len(data), len(fold.held_out)],
        "peer_ms": ms,
        "peer_curve": curve,
        "peer": {
            "end": {"loss": losses[-1], "seconds": per_epoch * at[-1], "epoch": at[-1]},
            "best": {"loss": losses[best], "seconds": per_epoch * at[best], "epoch": at[best]},
        },
        "ours": ours,
    }


def table(parts: list[dict[str, Any]]) -> str:
    """Markdown: means over strips; medians and ranges of ratios."""
    lines = [
        "| recipe | held-out loss | seconds | reaches the peer's end | its best "
        "| faster than its end | than its best |",
        "|---|---|---|---|---|---|---|",
    ]
    for mark, label in (("end", "at its end"), ("best", "at its best")):
        row = [part["peer"][mark] for part in parts]
        epochs = ", ".join(str(r["epoch"]) for r in row)
        loss, seconds = (np.mean([r[key] for r in row]) for key in ("loss", "seconds"))
        lines.append(f"| peer {label}, epochs {epochs} | {loss:.3f} | {seconds:.1f} | | | | |")
    for name in parts[0]["ours"]:
        row = [part["ours"][name] for part in parts]
        loss, seconds = (np.mean([r[key] for r in row]) for key in ("loss", "seconds"))
        reached, ratios = [], []
        for mark in ("end", "best"):
            peer = [part["peer"][mark] for part in parts]
            n = sum(r["loss"] <= p["loss"] for r, p in zip(row, peer, strict=True))
            mean = np.mean([p["loss"] for p in peer])
            reached.append(f"{n} of {len(parts)}; mean {'yes' if loss <= mean else 'no'}")
            times = [p["seconds"] / r["seconds"] for r, p in zip(row, peer, strict=True)]
            ratios.append(f"x {np.median(times):.0f} ({min(times):.0f}-{max(times):.0f})")
        cells = [name, f"{loss:.3f}", f"{seconds:.2f}", *reached, *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one strip, a peer of 40 epochs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "pzt-paper")
    parser.add_argument("--invariances", choices=["r", "t", "rt"], default="rt")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    session = prepare(open_study(words.study))
    patches = cut(PatchSettings(size_px=WINDOW_PX), session.micrograph, session.keypoints)
    common = {"invariances": INVARIANCES[words.invariances], "device": "cpu"}
    before, parts = os.getloadavg()[0], []
    for fold in islice(folds(patches, session.keypoints), 1 if words.quick else 4):
        parts.append(measure(fold, common, 2 * EVERY if words.quick else EPOCHS, words.threads))
        print(f"strip {fold.seed}: {parts[-1]['peer']}, {parts[-1]['ours']}", flush=True)
    results = {
        "processor": processor(),
        "threads": words.threads,
        "clock": "CPU time" if words.threads == 1 else "wall",
        "load": [before, os.getloadavg()[0]],
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "quick": words.quick,
        "study": words.study.name,
        "invariances": words.invariances,
        "window_px": WINDOW_PX,
        "recipes": RECIPES,
        "strips": parts,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(parts))


if __name__ == "__main__":
    main()
