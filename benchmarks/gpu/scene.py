"""The image, the key points and the study that everything but the step times is run on."""

from pathlib import Path
from typing import Any

import numpy as np
from common import INVARIANCES, Plan

from vaeopt import open_study
from vaeopt.core.types import Patches
from vaeopt.datasets.domains import render_domains
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.study.file import OptunaSettings, StudySettings
from vaeopt.study.session import Session, prepare
from vaeopt.workflow import Workflow

__all__ = ["on_device", "paper_study", "patches_of", "ready"]

_MARGIN_PX = 10  # half of the largest window
_SPACING_PX = 4


def paper_study(
    folder: Path,
    plan: Plan,
    *,
    n_points: int,
    windows_px: tuple[int, ...],
    vae: dict[str, Any] | None = None,
) -> StudySettings:
    """The sweep of ``studies/pzt-paper`` on a rendered image with so many key points.

    Mixtures are fitted by the package's own engines instead of scikit-learn and Pyro, which know
    no GPU; how well each fits is in ``docs/benchmarks.md``.

    Args:
        folder: where image and key points are written.
        plan: sizes, and the device.
        n_points: key points, and so patches of every window.
        windows_px: of the search.
        vae: settings beside those of the paper.
    """
    np.save(folder / "image.npy", render_domains(seed=0, size_px=plan.image_px).pixels)
    axis = np.arange(_MARGIN_PX, plan.image_px - _MARGIN_PX, _SPACING_PX)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.random.default_rng(0).permutation(grid)[:n_points]
    if len(points) < n_points:
        raise ValueError(f"the image has room for {len(points)} key points, not {n_points}")
    rows = "\n".join(f"{row},{col}" for row, col in points)
    (folder / "keypoints.csv").write_text(f"row_px,col_px\n{rows}\n", encoding="utf-8")
    low, high = plan.components
    workflow = {
        "preset": "paper",
        "keypoints": {"kind": "csv", "path": "keypoints.csv"},
        "patches": {"size_px": windows_px[0]},
        "vae": {"device": plan.device, **(vae or {})},
        "mixture": {"engine": "batched", "components": [low, high]},
        "bayesian": {"engine": "direct", "steps": 20 if plan.smoke else 500},
        "rewards": [{"kind": "icl", "form": "paper"}],
        "scores": [
            {"kind": "reconstruction", "metric": "nll"},
            {"kind": "variance-product"},
            {"kind": "log-likelihood"},
            {"kind": "components", "form": "effective", "of": "bayesian"},
            {"kind": "elbo"},
        ],
    }
    models = [[w for w in name.split("+") if w != "none"] for name in INVARIANCES.values()]
    optuna: dict[str, Any] = {"sampler": {"kind": "grid"}, "n_trials": 3 * len(windows_px)}
    if "trials_at_once" in OptunaSettings.model_fields:
        optuna["trials_at_once"] = optuna["n_trials"]
    return StudySettings(
        name="gpu-sweep",
        image={"path": "image.npy", "clip_percentiles": [1, 95]},
        workflow=workflow,
        search={
            "patches.size_px": {"choices": list(windows_px)},
            "vae.invariances": {"choices": models},
        },
        optuna=optuna,
    )


def on_device(workflow: Workflow, device: str) -> Workflow:
    """The workflow with every stage there that can be told where to compute."""
    stages = {name: getattr(workflow, name) for name in type(workflow).model_fields}
    moved = {
        name: stage.model_copy(update={"device": device})
        for name, stage in stages.items()
        if "device" in getattr(type(stage), "model_fields", ())
    }
    return workflow.model_copy(update=moved)


def ready(settings: StudySettings, folder: Path) -> Session:
    """Image loaded, key points found."""
    return prepare(open_study(settings, folder=folder))


def patches_of(session: Session, size_px: int) -> Patches:
    """All windows of one size."""
    return cut(PatchSettings(size_px=size_px), session.micrograph, session.keypoints)
