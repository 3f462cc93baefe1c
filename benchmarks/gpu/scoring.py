"""What comes after training, on the device and on the processor: encode, density, mixtures."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import Plan, Section, interleaved, quartiles
from engines import paper_settings, train_together
from scene import paper_study, patches_of, ready

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Floats
from vaeopt.stages.vae import encode
from vaeopt.study.session import Session

__all__ = ["run"]

_SIZE_PX = 13


def run(plan: Plan, section: Section) -> None:
    """Every stage on both sides, by the settings of the study."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = paper_study(
            folder, plan, n_points=plan.scored_points, windows_px=(_SIZE_PX,), vae={"epochs": 2}
        )
        session = ready(study, folder)
        for stage, work in _stages(plan, session).items():
            if section.has_time(stage):
                section.attempt(stage, partial(_measure, plan, section, stage, work))


def _measure(plan: Plan, section: Section, stage: str, works: dict[str, Callable[[], Any]]) -> None:
    """Both sides take turns; their answers are compared where they are arrays."""
    answers = {side: work() for side, work in works.items()}
    largest = None
    if len(answers) == 2:
        first, second = (np.asarray(answer, dtype=float) for answer in answers.values())
        scale = float(np.abs(first).max()) or 1.0
        largest = float(np.abs(first - second).max()) / scale
    units = {side: _once(work) for side, work in works.items()}
    times = interleaved(plan, units, left=lambda: section.left_s)
    section.row(
        "rows",
        {
            "stage": stage,
            "points": plan.scored_points,
            "ms": {side: quartiles([s * 1e3 for s in seconds]) for side, seconds in times.items()},
            "relative_difference": largest,
            "repeats": {side: len(seconds) for side, seconds in times.items()},
        },
    )


def _once(work: Callable[[], Any]) -> Callable[[], int]:
    def unit() -> int:
        work()
        return 1

    return unit


def _stages(plan: Plan, session: Session) -> dict[str, dict[str, Callable[[], Any]]]:
    """By stage and side; one that knows no device is on the processor alone."""
    patches = patches_of(session, _SIZE_PX)
    found: dict[str, dict[str, Callable[[], Any]]] = {"encode": {}}
    sides = {"cpu": "cpu", "device": plan.device}
    settings = paper_settings("rt", plan, device="cpu", epochs=2)
    (vae,) = train_together([(settings, patches)], seed=0)
    for side, device in sides.items():
        there = replace(vae, config={**vae.config, "device": device})
        found["encode"][side] = lambda vae=there: encode(vae, patches).z_mean
    points = _points(plan.scored_points)
    workflow = session.file.settings.workflow
    everything = np.ones(len(points), dtype=bool)
    index = np.arange(len(points))

    def fit(model: Any) -> Floats:
        mixture = model.fit(points, kept=everything, fit_index=index, seeds=Seeds(0, 0))
        return np.asarray(np.sort(mixture.best.weights))

    plugins = {
        "density filter": (workflow.density_filter, lambda plugin: plugin(points).astype(float)),
        "mixture (GMM)": (workflow.mixture, fit),
        "bayesian (BGMM)": (workflow.bayesian, fit),
    }
    for stage, (plugin, work) in plugins.items():
        found[stage] = {}
        knows = "device" in type(plugin).model_fields
        for side, device in sides.items() if knows else [("cpu", "cpu")]:
            chosen = plugin.model_copy(update={"device": device}) if knows else plugin
            found[stage][side] = partial(work, chosen)
    return found


def _points(n: int) -> Floats:
    """Latents with structure: six clusters of unequal size in two dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(-2, 2, (6, 2))
    label = rng.choice(6, n, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    return np.asarray(centres[label] + 0.25 * rng.standard_normal((n, 2)))
