"""Latents of trainings as files, so that a new reward can be tried on them without training."""

import json
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vaeopt.core.errors import StudyError
from vaeopt.core.types import Latents, Reconstruction, Recut, TrainedVae, WorkflowRun
from vaeopt.stages.patches import cut
from vaeopt.truth.file import Scene, TruthFile
from vaeopt.truth.scene import ReadyScene, Task
from vaeopt.workflow.run import as_one, score

__all__ = ["keep", "kept_file", "restored"]

_FORMAT = 1


def kept_file(file: TruthFile, scene: Scene, key: str) -> Path:
    """Where the latents of a training are, if they were kept."""
    return file.latents / scene.name / f"{zlib.crc32(key.encode()):08x}.npz"


def keep(scene: ReadyScene, task: Task, run: WorkflowRun) -> Path:
    """Write the latents of a training, of its second cuts and replicates as float32 (no pickle)."""
    path = kept_file(scene.file, scene.scene, task.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    members = []
    for m, member in enumerate(run.members):
        latents, vae = member.latents, member.vae
        parts: dict[str, Any] = {
            "z_mean": latents.z_mean,
            "z_std": latents.z_std,
            "code_mean": latents.code_mean,
            "code_std": latents.code_std,
            "error_nats": latents.error_nats,
            "loss_nats": vae.loss_nats,
        }
        parts |= {f"code.{name}": code for name, code in latents.codes.items()}
        for name, recut in member.recuts.items():
            parts[f"recut.{name}"] = recut.z_mean
            parts[f"inside.{name}"] = recut.inside
        for name, array in parts.items():
            plain = np.asarray(array)
            arrays[f"{m}.{name}"] = plain if plain.dtype == bool else plain.astype(np.float32)
        found = vars(latents.reconstruction)
        members.append({"reconstruction": found, "diverged": vae.diverged, "stopped": vae.stopped})
    meta = {"format": _FORMAT, "key": task.key, "training": _digest(scene), "members": members}
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as out:
        np.savez(out, meta=np.asarray(json.dumps(meta)), **arrays)
    unfinished.replace(path)
    return path


def restored(scene: ReadyScene, task: Task) -> WorkflowRun:
    """A training from its file, with everything behind the encoder computed anew.

    Raises:
        StudyError: its latents were not kept, are of other settings, or cannot be read.
    """
    path = kept_file(scene.file, scene.scene, task.key)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as data:
            arrays = dict(data)
        meta = json.loads(str(arrays.pop("meta")))
        if (meta["format"], meta["key"]) != (_FORMAT, task.key):
            raise ValueError("it is of another training")
        _refuse_others(scene, task, meta)
        members = [_member(scene, task, arrays, m, meta) for m in range(len(meta["members"]))]
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise StudyError(
            f"latents of {task.key} on {scene.scene.name!r} cannot be read: {error}",
            remedy="train with --keep first",
        ) from error
    return as_one(members)


def _digest(scene: ReadyScene) -> str:
    """Of everything that a training depends on beside its own key."""
    text = json.dumps(scene.identity()["training"], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _refuse_others(scene: ReadyScene, task: Task, meta: dict[str, Any]) -> None:
    """Latents outlive the rows that were deleted after settings had changed.

    Raises:
        StudyError: the latents are not known to be of the training that the row is of.
    """
    was = meta.get("training")
    if was == _digest(scene):
        return
    how = "do not tell their settings" if was is None else "are of other settings than its row"
    raise StudyError(
        f"latents of {task.key} on {scene.scene.name!r} {how}",
        setting="--rescore",
        remedy=f"delete {str(scene.file.rows / f'{scene.scene.name}.jsonl')!r} and train again "
        "with --keep",
    )


def _member(
    scene: ReadyScene, task: Task, arrays: dict[str, Any], m: int, meta: dict[str, Any]
) -> WorkflowRun:
    own = {
        name.removeprefix(f"{m}."): array if array.dtype == bool else array.astype(np.float64)
        for name, array in arrays.items()
        if name.startswith(f"{m}.")
    }

    def below(prefix: str) -> dict[str, Any]:
        return {n.removeprefix(prefix): a for n, a in own.items() if n.startswith(prefix)}

    session, told = scene.session, meta["members"][m]
    workflow = scene.workflow(task)
    patches = session.cache.get(
        "patches",
        (workflow.keypoints, session.comparison.largest_window_px, workflow.patches),
        lambda: cut(workflow.patches, session.micrograph, session.keypoints),
    )
    return score(
        workflow,
        session.micrograph,
        session.keypoints,
        patches,
        TrainedVae(
            config=workflow.vae.to_table(),
            window_px=patches.size_px,
            weights={},
            loss_nats=own["loss_nats"],
            diverged=told["diverged"],
            stopped=told["stopped"],
        ),
        Latents(
            z_mean=own["z_mean"],
            z_std=own["z_std"],
            codes=below("code."),
            code_mean=own["code_mean"],
            code_std=own["code_std"],
            error_nats=own["error_nats"],
            reconstruction=Reconstruction(**told["reconstruction"]),
        ),
        comparison=session.comparison,
        seeds=scene.seeds(task).replicate(m),
        seconds={},
        recuts={
            name: Recut(z_mean=z, inside=own[f"inside.{name}"])
            for name, z in below("recut.").items()
        },
    )
