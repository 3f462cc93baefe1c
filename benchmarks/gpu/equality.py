"""Does a training on the GPU end where one on the processor does, within the noise of seeds?

Whole walks from patches to scores, with the same seeds on both sides. The same draws are made, so
curves begin alike; rounding is carried on by the steps, so that ends are compared as two samples:
the difference of the means in units of its standard error, from the spread over seeds.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import INVARIANCES, Plan, Section
from engines import paper_settings, train_together
from peer import missing, peer_training
from scene import on_device, paper_study, patches_of, ready

from vaeopt.core.seeds import Seeds
from vaeopt.kernels.decoder import native
from vaeopt.study.session import Session
from vaeopt.workflow import scores_of, walk

__all__ = ["MOST_STANDARD_ERRORS", "run"]

# Of two means of five: 99 % of such differences are smaller where there is no true one.
MOST_STANDARD_ERRORS = 3.4
_LEAST_S = 10.0


def run(plan: Plan, section: Section) -> None:
    """Each model: the processor, the device in both precisions; then the peer's loss."""
    n_seeds, n_points, epochs = plan.equality
    size = plan.windows_px[0]
    section.put(
        seeds=n_seeds, patches=n_points, epochs=epochs, window_px=size, limit=MOST_STANDARD_ERRORS
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = paper_study(
            folder, plan, n_points=n_points, windows_px=(size,), vae={"epochs": epochs}
        )
        session = ready(study, folder)
        work = {model: partial(_compare, plan, section, session, model) for model in INVARIANCES}
        work["peer"] = partial(_peer, plan, section, session)
        for what in ("rt", "peer", "none", "r"):
            if section.has_time(what, 0 if plan.smoke else _LEAST_S):
                section.attempt(what, work[what])


def _compare(plan: Plan, section: Section, session: Session, model: str) -> None:
    engine = "native" if native.runs("float32") else "fast"
    base = _ends(plan, session, model, device="cpu", engine=engine, precision="float32")
    for precision in ("bf16", "float32"):
        found = _ends(plan, session, model, device=plan.device, engine="auto", precision=precision)
        for score, values in found.items():
            row = {"model": model, "precision": precision, "score": score}
            section.row("rows", row | _apart(base[score], values))


def _ends(plan: Plan, session: Session, model: str, **vae: str) -> dict[str, list[float]]:
    """Last loss and every score of each seed."""
    found: dict[str, list[float]] = {}
    names = tuple(word for word in INVARIANCES[model].split("+") if word != "none")
    changes = {f"vae.{name}": value for name, value in vae.items()} | {"vae.invariances": names}
    workflow = on_device(session.file.settings.workflow.with_values(changes), vae["device"])
    together = walk(
        workflow.model_copy(update={"replicates": plan.equality[0]}),
        session.micrograph,
        comparison=session.comparison,
        seeds=Seeds(0, 0),
        cache=session.cache,
        folder=session.file.folder,
    )
    for member in together.members:
        found.setdefault("loss", []).append(float(member.vae.loss_nats[-1]))
        for label, score in scores_of(workflow, member).items():
            found.setdefault(label, []).append(np.nan if score is None else score.value)
    return found


def _apart(first: list[float], second: list[float]) -> dict[str, object]:
    """Two samples: means, spread and the difference of the means in its standard errors."""
    a, b = np.asarray(first), np.asarray(second)
    n = len(a)
    error = float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n))
    gap = float(b.mean() - a.mean())
    errors = abs(gap) / error if error > 0 else (0.0 if gap == 0 else np.inf)
    finite = bool(np.isfinite([gap, errors]).all())
    return {
        "cpu": a.tolist(),
        "device": b.tolist(),
        "cpu_mean": float(a.mean()),
        "cpu_sd": float(a.std(ddof=1)),
        "difference": gap,
        "standard_errors": errors if finite else None,
        "within_noise": finite and errors <= MOST_STANDARD_ERRORS,
    }


def _peer(plan: Plan, section: Section, session: Session) -> None:
    """Mean loss of the last epoch: pyroVED beside ours in bf16, rotation and translation."""
    if plan.smoke and missing():
        section.put(peer_missing=missing())
        return
    n_seeds, _, epochs = plan.equality
    patches = patches_of(session, plan.windows_px[0])
    settings = paper_settings("rt", plan, precision="bf16", epochs=epochs)
    ours = train_together([(settings, patches)] * n_seeds, seed=0)
    data = torch.from_numpy(patches.pixels.copy()).to(plan.device)
    kl_scale, theirs = settings.kl_scale * patches.size_px**2, []
    for seed in range(n_seeds):
        trainer, loader = peer_training("rt", patches.size_px, data, plan.device, seed=seed + 1)
        for _ in range(epochs):
            trainer.step(loader, scale_factor=kl_scale)
        theirs.append(float(trainer.loss_history["training_loss"][-1]))
    found = _apart(theirs, [float(vae.loss_nats[-1]) for vae in ours])
    names = {"cpu": "peer", "device": "ours", "cpu_mean": "peer_mean", "cpu_sd": "peer_sd"}
    section.put(peer={names.get(key, key): value for key, value in found.items()})
