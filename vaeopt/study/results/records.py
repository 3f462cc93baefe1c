"""What a trial leaves in the study: attributes, the constraint, and files in the artifact store."""

import functools
import json
import platform
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.artifacts import download_artifact
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX, ArtifactMeta
from optuna.trial import FrozenTrial, Trial, TrialState

from vaeopt.core.errors import StudyError
from vaeopt.core.secrets import masked
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import WorkflowRun
from vaeopt.core.version import __version__
from vaeopt.stages.vae import trained_by
from vaeopt.stages.vae.device import resolve_device
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.attributes import (
    FAILURE,
    IDENTITY,
    PICTURES,
    PICTURES_FAILED,
    REPEAT,
    SEED_NUMBER,
)
from vaeopt.study.session import Session
from vaeopt.study.storage import set_attributes
from vaeopt.workflow import Score, Workflow, gpus_of, load_run, primitives, save_run
from vaeopt.workflow.artefacts import ARRAYS

__all__ = [
    "FILES",
    "KeptFiles",
    "attach",
    "environment",
    "environment_of",
    "ids_of",
    "keep_again",
    "keep_files",
    "record_failure",
    "record_of",
    "restore",
    "scores_in",
    "seeds_of",
    "set_constraint",
    "settings_of",
    "without_files",
]

_SETTINGS = "vaeopt:settings"
_PRIMITIVES = "vaeopt:primitives"
_ENVIRONMENT = "vaeopt:environment"
FILES = "vaeopt:files"
"""ids of its files by name"""
_BYTES = "vaeopt:file_bytes"
_SCORES = "vaeopt:scores"


def set_constraint(trial: Trial, margin: float) -> None:
    """Record the collapse margin so that samplers and the dashboard both see it.

    Optuna 5's ``trial.set_constraint`` writes a form that optuna-dashboard does not read; the old
    list is read by both. Semi-private: a test pins it.
    """
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [margin])


@dataclass(frozen=True)
class KeptFiles:
    """Files of a trial in the store, by name."""

    ids: Mapping[str, str]
    sizes: Mapping[str, int]
    """bytes"""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """ids of the pictures"""


def keep_files(
    run: WorkflowRun, store: Artefacts, pictures: Mapping[str, bytes] | None = None
) -> KeptFiles:
    """Write the files of a run; they are on the disk when this returns, apart from pictures."""
    with store.unfinished() as folder:
        files = save_run(run, folder)
        sizes = {path.name: path.stat().st_size for path in files}
        drawn = []
        for name, content in (pictures or {}).items():
            drawn.append(folder / name)
            drawn[-1].write_bytes(content)
        ids, shown = store.take(files, drawn)
        return KeptFiles(ids, sizes, shown)


def keep_again(trial: FrozenTrial, run: WorkflowRun, store: Artefacts) -> None:
    """Write the files of a finished trial, which were lost, from a run that repeats it.

    Raises:
        StudyError: the trial names none, or they would not be those that were.
    """
    ids, sizes = trial.user_attrs.get(FILES, {}), trial.user_attrs.get(_BYTES, {})
    first = trial.user_attrs.get(_PRIMITIVES, {})
    # All repeats but the time that it took, which stands in the files, too.
    others = zip(run.replicates, first.get("replicates", []), strict=False)
    again = replace(
        run,
        seconds=first.get("seconds", {}),
        replicates=tuple(replace(one, seconds=was.get("seconds", {})) for one, was in others),
    )
    with store.unfinished() as folder:
        files = {path.name: path for path in save_run(again, folder)}
        found = {name: path.stat().st_size for name, path in files.items()}
        if not ids or files.keys() != ids.keys() or {**found, **sizes} != found:
            raise StudyError(
                f"the files of trial {trial.number} cannot be made again: its record names others",
                remedy="put the artefacts back",
            )
        store.put_back({ids[name]: path for name, path in files.items()})


def attach(
    trial: Trial,
    run: WorkflowRun,
    workflow: Workflow,
    files: KeptFiles,
    scores: Mapping[str, Score | None],
    failed: Mapping[str, str] | None = None,
) -> None:
    """Record all that is needed to recompute any score of the run without training.

    Args:
        trial: runs in this process.
        run: its training.
        workflow: its settings.
        files: that were kept of it.
        scores: its rewards and scores.
        failed: pictures that could not be drawn, and why.
    """
    # As optuna.artifacts.upload_artifact would: the files are there already.
    kinds = {"application/octet-stream": files.ids, "image/png": files.pictures}
    metas = [
        ArtifactMeta(artifact_id, name, kind, None)
        for kind, ids in kinds.items()
        for name, artifact_id in ids.items()
    ]
    drawn = {PICTURES: dict(files.pictures), PICTURES_FAILED: dict(failed or {})}
    set_attributes(
        trial.storage,
        trial._trial_id,
        {
            _SETTINGS: workflow.to_table(),
            _PRIMITIVES: primitives(run),
            _SCORES: {name: score and asdict(score) for name, score in scores.items()},
            _ENVIRONMENT: environment(workflow),
            _BYTES: dict(files.sizes),
            **{key: value for key, value in drawn.items() if value},
            FILES: dict(files.ids),
        },
        {f"{ARTIFACTS_ATTR_PREFIX}{m.artifact_id}": json.dumps(asdict(m)) for m in metas},
    )


def ids_of(trial: FrozenTrial) -> list[str]:
    """All that a trial has in the store: files and pictures."""
    return [i for key in (FILES, PICTURES) for i in trial.user_attrs.get(key, {}).values()]


def record_failure(trial: Trial, error: BaseException) -> None:
    """Why a trial failed, in the database: Optuna keeps only a log line."""
    trial.set_user_attr(
        FAILURE,
        {
            "type": type(error).__name__,
            "message": masked(str(error)),
            "traceback": masked("".join(traceback.format_exception(error)))[-4000:],
        },
    )


def environment(workflow: Workflow) -> dict[str, Any]:
    """Versions and machine of this process: what a replay elsewhere may differ in.

    Args:
        workflow: tells what trains here.
    """
    vae = workflow.vae
    device = resolve_device(vae.device)
    decoder, precision = trained_by(vae, workflow.patches.size_px, device)
    packages = ("torch", "pyro-ppl", "numpy", "scikit-learn", "optuna")
    return {
        "python": platform.python_version(),
        "vaeopt": __version__,
        **{package: _version(package) for package in packages},
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "decoder": decoder,
        "precision": precision,
        "gpu": gpus_of(workflow),
    }


@functools.cache  # looks through all that is installed
def _version(package: str) -> str:
    return metadata.version(package)


def environment_of(trial: FrozenTrial) -> dict[str, Any]:
    """The environment that a finished trial ran in."""
    found = trial.user_attrs.get(_ENVIRONMENT)
    return found if isinstance(found, dict) else {}


def settings_of(trial: FrozenTrial) -> Workflow:
    """The fixed workflow that a finished trial ran."""
    table = trial.user_attrs.get(_SETTINGS)
    if not isinstance(table, dict):
        raise StudyError(f"trial {trial.number} carries no record of its settings")
    return Workflow(**table)


def scores_in(trial: FrozenTrial) -> dict[str, Score | None]:
    """Rewards and scores of a finished trial by label; None where one could not be computed."""
    found = trial.user_attrs.get(_SCORES, {})
    return {name: None if table is None else Score(**table) for name, table in found.items()}


def seeds_of(trial: FrozenTrial, session: Session) -> Seeds:
    """The seeds that a trial of this study ran with."""
    return Seeds(session.file.settings.optuna.seed, trial.user_attrs[SEED_NUMBER])


def restore(trial: FrozenTrial, session: Session) -> WorkflowRun:
    """The run of a finished trial, rebuilt from its files without training.

    Raises:
        StudyError: its files are gone.
    """
    ids = trial.user_attrs.get(FILES, {})
    store = session.artefacts
    with tempfile.TemporaryDirectory() as folder:
        for name, artifact_id in ids.items():
            try:
                download_artifact(
                    artifact_store=store,
                    artifact_id=artifact_id,
                    file_path=str(Path(folder) / name),
                )
            except (optuna.artifacts.exceptions.ArtifactNotFound, OSError) as error:
                raise _gone(trial, name, store) from error
        if not ids:
            raise _gone(trial, ARRAYS, store)
        if _damaged(trial, {ids[name]: (Path(folder) / name).stat().st_size for name in ids}):
            raise StudyError(
                f"the files of trial {trial.number} in {store} are damaged", remedy=_AGAIN
            )
        return load_run(Path(folder), session.micrograph)


_AGAIN = "put the artefacts back, or make them again with 'vaeopt replay --restore'"


def _gone(trial: FrozenTrial, name: str, store: Artefacts) -> StudyError:
    return StudyError(f"file {name} of trial {trial.number} is not in {store}", remedy=_AGAIN)


def _damaged(trial: FrozenTrial, held: Mapping[str, int]) -> bool:
    ids, sizes = trial.user_attrs.get(FILES, {}), trial.user_attrs.get(_BYTES, {})
    # Trials of earlier versions say nothing of their sizes.
    return any(i not in held or held[i] != sizes.get(n, held[i]) for n, i in ids.items())


def without_files(trials: Iterable[FrozenTrial], store: Artefacts) -> list[int]:
    """Finished trials whose files are missing or have another size than they had."""
    held = store.sizes()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return [t.number for t in complete if not t.user_attrs.get(FILES) or _damaged(t, held)]


def record_of(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """Everything about a finished trial as one JSON-ready table."""
    names = study.metric_names or [f"value_{i}" for i in range(len(study.directions))]
    attrs = trial.user_attrs
    return {
        "study": study.study_name,
        "trial": trial.number,
        "values": dict(zip(names, trial.values, strict=True)),
        "scores": attrs.get(_SCORES),
        "repeat": attrs.get(REPEAT),
        "directions": [direction.name.lower() for direction in study.directions],
        "feasible": max(trial.constraints.values(), default=0.0) <= 0,
        "parameters": trial.params,
        "seed_number": attrs.get(SEED_NUMBER),
        "settings": attrs.get(_SETTINGS),
        "primitives": attrs.get(_PRIMITIVES),
        "environment": attrs.get(_ENVIRONMENT),
        "identity": study.user_attrs.get(IDENTITY),
        "started": trial.datetime_start.isoformat() if trial.datetime_start else None,
        "finished": trial.datetime_complete.isoformat() if trial.datetime_complete else None,
    }
