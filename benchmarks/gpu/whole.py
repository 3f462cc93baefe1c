"""The paper's whole sweep: 27 trainings together, then the same study with all its scores."""

import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from common import INVARIANCES, Plan, Section
from engines import paper_settings, train_together
from floors import step_floor
from scene import paper_study, patches_of, ready

import vaeopt as vo
from vaeopt.study.session import Session

__all__ = ["run"]

_MEASURED_SHARE = 0.35  # of the time of the section, for the trainings alone
_FLOAT32_S = 20.0
_LEAST = 2  # epochs: the second one of a trainer replays graphs


def run(plan: Plan, section: Section) -> None:
    """Trainings alone in bf16, the study, and trainings in float32 if there is time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _study(folder, plan, epochs=plan.sweep_epochs)
        session = ready(settings, folder)
        section.put(
            patches=len(session.keypoints),
            windows_px=list(plan.sweep_windows_px),
            models=list(INVARIANCES),
            batch_size=128,
            wanted_epochs=plan.sweep_epochs,
            operations=_operations(plan),
        )
        seconds = section.left_s * _MEASURED_SHARE
        section.attempt("bf16", lambda: _trainings(plan, section, session, "bf16", seconds))
        if section.has_time("study"):
            section.attempt("study", lambda: _whole_study(plan, section))
        if section.has_time("float32", 0 if plan.smoke else _FLOAT32_S):
            seconds = section.left_s
            section.attempt(
                "float32", lambda: _trainings(plan, section, session, "float32", seconds)
            )


def _study(folder: Path, plan: Plan, *, epochs: int) -> Any:
    return paper_study(
        folder,
        plan,
        n_points=plan.sweep_patches,
        windows_px=plan.sweep_windows_px,
        vae={"epochs": epochs, "precision": "bf16"},
    )


def _operations(plan: Plan) -> int:
    """Of the whole sweep at the wanted epochs."""
    per_batch = sum(
        step_floor(model, size).operations
        for model in INVARIANCES
        for size in plan.sweep_windows_px
    )
    return per_batch * plan.sweep_patches * plan.sweep_epochs // 128


def _trainings(
    plan: Plan, section: Section, session: Session, precision: str, seconds: float
) -> None:
    """As many epochs as fit into the time; their median length says how long all would take."""
    patches = {size: patches_of(session, size) for size in plan.sweep_windows_px}

    def train(epochs: int) -> tuple[float, list[float]]:
        asked = [
            (paper_settings(model, plan, precision=precision, epochs=epochs), patches[size])
            for size in plan.sweep_windows_px
            for model in INVARIANCES
        ]
        start = time.perf_counter()
        vaes = train_together(asked, seed=0)
        plan.synchronize()
        return time.perf_counter() - start, [float(vae.loss_nats[-1]) for vae in vaes]

    end = time.monotonic() + seconds
    first_s, _ = train(1)  # compiles
    # Of two lengths, what is done once per call (weights, graphs) drops out of the difference.
    least_s, _ = train(_LEAST)
    short, short_s, per_epoch = _LEAST, least_s, least_s / _LEAST
    some = min(10 * _LEAST, plan.sweep_epochs // 2)
    if some > _LEAST and 3 * least_s * some / _LEAST < end - time.monotonic():
        short, (short_s, _) = some, train(some)
        per_epoch = max((short_s - least_s) / (short - _LEAST), 1e-6)
    room = 0.8 * (end - time.monotonic())
    epochs = min(plan.sweep_epochs, max(2 * short, int(room / per_epoch)))
    long_s, losses = train(epochs)
    slope = (long_s - short_s) / (epochs - short)
    scaled = long_s + max(0.0, slope) * (plan.sweep_epochs - epochs)
    section.row(
        "trainings",
        {
            "precision": precision,
            "trainings": len(losses),
            "epochs": epochs,
            "seconds": long_s,
            "first_call_s": first_s,
            "seconds_per_epoch_of_all": slope,
            "scaled_to_epochs": plan.sweep_epochs,
            "scaled_seconds": scaled,
            "was_scaled": epochs < plan.sweep_epochs,
            "losses_nats": losses,
        },
    )


def _whole_study(plan: Plan, section: Section) -> None:
    """``vaeopt.optimize`` from the image to the last score; epochs are cut if time is short."""
    measured = section.rows("trainings")  # the first ones, if any, are in bf16 as this study is
    per_epoch = measured[0]["seconds_per_epoch_of_all"] if measured else 0.0
    room = max(5.0, section.left_s * 0.6)
    epochs = plan.sweep_epochs
    if per_epoch > 0:
        epochs = max(1, min(epochs, int(room / per_epoch)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _study(folder, plan, epochs=epochs)
        start = time.perf_counter()
        study = vo.optimize(settings, folder=folder)
        seconds = time.perf_counter() - start
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    stages: dict[str, float] = {}
    for trial in trials:
        for stage, took in trial.user_attrs["vaeopt:primitives"]["seconds"].items():
            stages[stage] = stages.get(stage, 0.0) + took
    rest = seconds - sum(stages.values())
    section.put(
        study={
            "trials": len(trials),
            "trials_at_once": getattr(settings.optuna, "trials_at_once", 1),
            "epochs": epochs,
            "seconds": seconds,
            "stages_s": {**stages, "rest": rest},
            "scaled_to_epochs": plan.sweep_epochs,
            "scaled_seconds": seconds + per_epoch * (plan.sweep_epochs - epochs),
            "was_scaled": epochs < plan.sweep_epochs,
        }
    )
