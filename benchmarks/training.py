"""How long is a training step, beside the same step of pyroVED's kind in Pyro?

    python benchmarks/training.py [--quick] [--threads N]

The peer is written by hand as pyroVED 0.3.0 does it: Pyro's ``SVI`` with ``Trace_ELBO`` and Pyro's
``Adam``, one sample of the KL, the pixel network on transformed coordinates of every patch. It is
given its batches ready made; ours are shuffled, and the weights looked through and copied once per
epoch of eight batches, as the training loop does it.
Both have the same weights, noise and loss at the start, which is checked. Chunks of steps of all
contestants take turns; with one thread, CPU time is measured. Every environment is a process of its
own: ``stock``, and ``tuned``, where the C library keeps freed memory for both.

Writes ``benchmarks/results/training.json`` and prints a table.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.decoder import native
from vaeopt.stages.vae.invariances import compose
from vaeopt.stages.vae.model import InvariantVae, build
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers import Job, choose_trainer

RESULTS = Path(__file__).parent / "results" / "training.json"
BATCH, WIDTH, BATCHES_PER_EPOCH = 128, 128, 8
INVARIANCES = {
    "none": "none",
    "r": "rotation",
    "t": "translation",
    "rt": "rotation+translation",
}
OURS = {
    "native bf16": ("native", "bf16"),
    "native float32": ("native", "float32"),
    "fast bf16": ("fast", "bf16"),
    "fast float32": ("fast", "float32"),
}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


class Peer(nn.Module):
    """Model and guide; layers are those of one of our models, so that both start alike."""

    def __init__(self, ours: InvariantVae) -> None:
        super().__init__()
        self.ours = ours

    def guide(self, patches: Tensor) -> None:
        """Posterior."""
        pyro.module("encoder", self.ours.encoder)
        with pyro.plate("data", len(patches)):
            mean, std = self.ours.encoder(patches)
            with pyro.poutine.scale(scale=self._kl_scale()):
                pyro.sample("latent", dist.Normal(mean, std).to_event(1))

    def model(self, patches: Tensor) -> None:
        """Prior and likelihood."""
        pyro.module("decoder", self.ours.decoder)
        n, settings = len(patches), self.ours.settings
        with pyro.plate("data", n):
            zeros = torch.zeros(n, settings.n_codes + settings.latent_dim)
            with pyro.poutine.scale(scale=self._kl_scale()):
                latent = pyro.sample("latent", dist.Normal(zeros, zeros + 1).to_event(1))
            mean = self._decode(latent).sigmoid()
            seen = dist.Bernoulli(mean, validate_args=False).to_event(1)
            pyro.sample("obs", seen, obs=patches)

    def _kl_scale(self) -> float:
        return self.ours.settings.kl_scale * self.ours.size_px**2

    def _decode(self, latent: Tensor) -> Tensor:
        decoder, settings = self.ours.decoder, self.ours.settings
        if not settings.invariances:
            return decoder(latent)
        codes, content = latent[:, : settings.n_codes], latent[:, settings.n_codes :]
        linear, offset = compose(settings.invariances, codes, settings.prior_sd.by_kind())
        grid = decoder.grid.expand(len(latent), -1, 2)
        seen = torch.bmm(grid, linear.mT) + offset.unsqueeze(1)
        first = decoder.coordinates(seen.reshape(-1, 2)).reshape(len(latent), -1, WIDTH)
        h = torch.tanh(first + decoder.content(content).unsqueeze(1)).reshape(-1, WIDTH)
        for layer in decoder.hidden:
            h = torch.tanh(layer(h))
        return decoder.out(h).reshape(len(latent), -1)


def peer_steps(settings: VaeSettings, size_px: int, data: Tensor) -> tuple[Callable[[], int], SVI]:
    """A function that does some steps and says how many."""
    pyro.clear_param_store()
    peer = Peer(build(settings, size_px, seed=0))
    svi = SVI(peer.model, peer.guide, pyro.optim.Adam({"lr": 1e-3}), loss=Trace_ELBO())
    batches = data.split(BATCH)
    turn = iter(range(10**9))

    def steps() -> int:
        for _ in range(2):
            svi.step(batches[next(turn) % len(batches)])
        return 2

    return steps, svi


def our_steps(
    settings: VaeSettings, size_px: int, data: Tensor, members: int = 1
) -> Callable[[], int]:
    """One epoch of some members as the training loop does it."""
    every = range(members)
    seeds = tuple(Seeds(0, member) for member in every)
    trainer = choose_trainer([Job(settings, data, size_px, seeds)])

    def steps() -> int:
        trainer.epoch(every, 1e-3)
        return BATCHES_PER_EPOCH * members

    return steps


def loss_difference(settings: VaeSettings, size_px: int, patches: Tensor) -> float:
    """Relative difference of the two losses for the same weights and the same noise."""
    _, svi = peer_steps(settings, size_px, patches)
    torch.manual_seed(3)
    theirs = svi.evaluate_loss(patches)
    torch.manual_seed(3)
    noise = torch.randn(len(patches), settings.n_codes + settings.latent_dim)
    with torch.no_grad():
        ours = build(settings, size_px, seed=0).loss_sum(patches, noise).item()
    return abs(ours - theirs) / abs(theirs)


def measure(name: str, size_px: int, rounds: int, threads: int) -> dict[str, Any]:
    """Milliseconds per step of everybody, in turns."""
    data = torch.rand(BATCHES_PER_EPOCH * BATCH, size_px**2)
    common: dict[str, Any] = {
        "invariances": INVARIANCES[name],
        "width": WIDTH,
        "batch_size": BATCH,
        "kl_estimator": "sampled",
    }
    # Pyro keeps one store per process, so the losses are compared before anybody trains.
    difference = loss_difference(VaeSettings(**common), size_px, data[:BATCH])
    entrants = {"peer": peer_steps(VaeSettings(**common), size_px, data)[0]}
    for label, (engine, precision) in OURS.items():
        # The fast engine rounds in spatial decoders only.
        if precision == "bf16" and not (
            native.has_bf16() if engine == "native" else name != "none"
        ):
            continue
        settings = VaeSettings(**common, engine=engine, precision=precision)
        entrants[label] = our_steps(settings, size_px, data)
        if name == "none":
            entrants[f"{label}, 16 members"] = our_steps(settings, size_px, data, 16)
    times: dict[str, list[float]] = {label: [] for label in entrants}
    clock = clock_for(threads)
    for turn in range(rounds + 1):
        for label, steps in entrants.items():
            steps()  # threads of whoever was before it may still wait for work on the other core
            start = clock()
            done = steps()
            if turn > 0:  # the first round warms up
                times[label].append((clock() - start) / done * 1e3)
    return {
        "invariances": name,
        "window_px": size_px,
        "loss_difference": difference,
        "gflop": operations(size_px) / 1e9 if name != "none" else None,
        "ms": {
            label: np.percentile(t, [50, 25, 75]).round(4).tolist() for label, t in times.items()
        },
    }


def operations(size_px: int) -> float:
    """Of the pixel network, forwards and backwards, per step."""
    per_pixel = 2 * 3 * (2 * WIDTH + 2 * WIDTH**2 + WIDTH)
    return BATCH * size_px**2 * per_pixel


def clock_for(threads: int) -> Callable[[], float]:
    """CPU time of a single thread, which a busy machine disturbs less; else time on the wall."""
    return time.thread_time if threads == 1 else time.perf_counter


def product_rates(threads: int) -> dict[str, float]:
    """[GFLOP/s] of torch's products of 1024 x 1024 matrices, best of 20."""
    rates, clock = {}, clock_for(threads)
    for label, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = torch.randn(2, 1024, 1024).to(dtype)
        best = np.inf
        for _ in range(20):
            start = clock()
            torch.mm(a, b)
            best = min(best, clock() - start)
        rates[label] = 2 * 1024**3 / best / 1e9
    return rates


def run_environment(environment: str, threads: int, quick: bool) -> dict[str, Any]:
    if environment == "tuned":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes = [8, 13, 20]
    before = os.getloadavg()[0]
    rates = product_rates(threads)
    rounds = 3 if quick else 9
    rows = [measure(name, size, rounds, threads) for name in INVARIANCES for size in sizes]
    return {
        "environment": environment,
        "load": [before, os.getloadavg()[0]],
        "product_rates_gflops": rates,
        "rows": rows,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def table(results: dict[str, Any]) -> str:
    """Markdown: milliseconds of the peer, and how many times faster the others are."""
    stacked = [f"{label}, 16 members" for label in OURS if label != "fast bf16"]
    labels = [*OURS, *stacked]
    lines = [
        f"| environment | model | px | peer ms | {' | '.join(labels)} | floor ms, float32 / bf16 |"
    ]
    lines.append("|---" * (5 + len(labels)) + "|")
    for part in results["environments"]:
        for row in part["rows"]:
            peer = row["ms"]["peer"][0]
            cells = [
                f"{row['ms'][label][0]:.2f} (x {peer / row['ms'][label][0]:.1f})"
                if label in row["ms"]
                else ""
                for label in labels
            ]
            rates = part["product_rates_gflops"].values() if row["gflop"] else ()
            floor = " / ".join(f"{row['gflop'] / rate * 1e3:.1f}" for rate in rates)
            lines.append(
                f"| {part['environment']} | {row['invariances']} | {row['window_px']} "
                f"| {peer:.2f} | {' | '.join(cells)} | {floor} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--environment", choices=["stock", "tuned"], help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.environment:
        print(json.dumps(run_environment(words.environment, words.threads, words.quick)))
        return
    parts = []
    for environment in ("stock", "tuned"):
        command = [sys.executable, __file__, *sys.argv[1:], "--environment", environment]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        parts.append(json.loads(done.stdout.splitlines()[-1]))
    results = {
        "processor": processor(),
        "threads": words.threads,
        "clock": "CPU time" if words.threads == 1 else "wall",
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "quick": words.quick,
        "environments": parts,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
