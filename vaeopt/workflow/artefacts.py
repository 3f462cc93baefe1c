"""What a run leaves behind as files, and how a run is rebuilt from them without training."""

import json
import zipfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaeopt.core.errors import DataError
from vaeopt.core.types import (
    Collapse,
    Comparison,
    ElboEstimate,
    GaussianMixtureFit,
    KeyPoints,
    Latents,
    Micrograph,
    Mixture,
    Reconstruction,
    Recut,
    WorkflowRun,
)
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.stages.vae import load_vae, save_vae
from vaeopt.workflow.cache import StageCache

__all__ = ["ARRAYS", "MODEL", "keypoint_table", "load_run", "save_run", "write_export"]

Packed = tuple[dict[str, Any], dict[str, Any]]

ARRAYS = "latents.npz"
MODEL = "model.safetensors"
_FORMAT = "vaeopt-run-1"
_FIT_SCALARS = (
    "n_components",
    "n_points",
    "latent_dim",
    "n_free",
    "log_likelihood_total",
    "entropy_total",
    "map_log_responsibility_total",
    "rejected",
)
_FIT_ARRAYS = ("weights", "means", "covariances")
_MIXTURE_ARRAYS = ("shift", "transform", "fit_index", "kept", "responsibilities", "core")


def save_run(run: WorkflowRun, folder: Path) -> list[Path]:
    """Write all arrays of a run (``.npz``, no pickle) and its model; returns the paths.

    Replicates have files of their own, ``replicate1-latents.npz`` and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for member, one in enumerate(run.members):
        meta, arrays = _pack(one)
        meta["replicates"] = len(run.replicates) if member == 0 else 0
        arrays["meta"] = np.asarray(json.dumps(meta))
        with (folder / _named(ARRAYS, member)).open("wb") as file:
            np.savez(file, **arrays)  # noise: compressing takes 30 times as long to save a tenth
        written += [folder / _named(ARRAYS, member), folder / _named(MODEL, member)]
        save_vae(one.vae, written[-1])
    return written


def _named(file: str, member: int) -> str:
    return file if member == 0 else f"replicate{member}-{file}"


def _pack(run: WorkflowRun) -> Packed:
    latents = run.latents
    mixture_meta, mixture_arrays = _pack_mixture(run.mixture, "")
    meta: dict[str, Any] = {
        "format": _FORMAT,
        "image_sha256": run.micrograph.sha256,
        "comparison": vars(run.comparison),
        "reconstruction": vars(latents.reconstruction),
        "collapse": {"margin": run.collapse.margin, "reasons": list(run.collapse.reasons)},
        "mixture": mixture_meta,
        "codes": list(latents.codes),
        "recuts": list(run.recuts),
        "seconds": dict(run.seconds),
    }
    arrays: dict[str, Any] = {
        "yx_px": run.keypoints.yx_px,
        "strength": run.keypoints.strength,
        "z_mean": latents.z_mean,
        "z_std": latents.z_std,
        "code_mean": latents.code_mean,
        "code_std": latents.code_std,
        "error_nats": latents.error_nats,
        **mixture_arrays,
    }
    arrays |= {f"code.{name}": values for name, values in latents.codes.items()}
    if latents.z_sample is not None:
        arrays["z_sample"] = latents.z_sample
    for name, recut in run.recuts.items():
        arrays |= {f"recut.{name}.z_mean": recut.z_mean, f"recut.{name}.inside": recut.inside}
    others = {f"subset{i}": mixture for i, mixture in enumerate(run.resampled, start=1)}
    if run.bayesian is not None and run.bayesian is not run.mixture:
        others["bayesian"] = run.bayesian
    meta["bayesian_is_mixture"] = run.bayesian is run.mixture
    meta["mixtures"] = {}
    for name, mixture in others.items():
        meta["mixtures"][name], more = _pack_mixture(mixture, f"{name}.")
        arrays |= more
    return meta, arrays


def _pack_mixture(mixture: Mixture, prefix: str) -> Packed:
    meta = {
        "chosen": mixture.chosen,
        "selection_weight": mixture.selection_weight,
        "space": mixture.space,
        "failure": mixture.failure,
        "elbo": None if mixture.elbo is None else asdict(mixture.elbo),
        "fits": [{name: getattr(fit, name) for name in _FIT_SCALARS} for fit in mixture.fits],
    }
    arrays = {f"{prefix}{name}": getattr(mixture, name) for name in _MIXTURE_ARRAYS}
    for i, fit in enumerate(mixture.fits):
        arrays |= {f"{prefix}fit{i}.{name}": getattr(fit, name) for name in _FIT_ARRAYS}
    return meta, arrays


def load_run(folder: Path, micrograph: Micrograph) -> WorkflowRun:
    """The run that :func:`save_run` wrote, with patches cut again from the image.

    Args:
        folder: where its files are.
        micrograph: the image of the run.

    Raises:
        DataError: a damaged or missing file, or an image that is not the one of the run.
    """
    cuts = StageCache()  # all trainings of a run share their patches
    run, count = _load_member(folder, 0, micrograph, cuts)
    others = (_load_member(folder, member, micrograph, cuts)[0] for member in range(1, count + 1))
    return replace(run, replicates=tuple(others))


def _load_member(
    folder: Path, member: int, micrograph: Micrograph, cuts: StageCache
) -> tuple[WorkflowRun, int]:
    """One training and the number of its replicates."""
    arrays_file = folder / _named(ARRAYS, member)
    try:
        with arrays_file.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        meta = json.loads(str(arrays["meta"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{arrays_file.name} cannot be read: {error}") from error
    if meta["image_sha256"] != micrograph.sha256:
        raise DataError(
            "the image is not the one that this trial was run on",
            setting="image",
            remedy="put back the original image and its clipping",
        )
    vae = load_vae(folder / _named(MODEL, member))
    keypoints = KeyPoints(yx_px=arrays["yx_px"], strength=arrays["strength"])
    windows = PatchSettings(size_px=vae.window_px)
    latents = Latents(
        z_mean=arrays["z_mean"],
        z_std=arrays["z_std"],
        z_sample=arrays.get("z_sample"),
        codes={name: arrays[f"code.{name}"] for name in meta["codes"]},
        code_mean=arrays["code_mean"],
        code_std=arrays["code_std"],
        error_nats=arrays["error_nats"],
        reconstruction=Reconstruction(**meta["reconstruction"]),
    )
    mixture = _mixture(meta["mixture"], arrays, "")
    # Files of earlier versions hold one mixture and no second poses.
    more = meta.get("mixtures", {})
    others = {name: _mixture(table, arrays, f"{name}.") for name, table in more.items()}
    run = WorkflowRun(
        micrograph=micrograph,
        keypoints=keypoints,
        patches=cuts.get("patches", (windows,), lambda: cut(windows, micrograph, keypoints)),
        vae=vae,
        latents=latents,
        diagnostics=unit_diagnostics(
            latents.z_mean, latents.z_std, latents.code_mean, latents.code_std
        ),
        collapse=Collapse(
            margin=meta["collapse"]["margin"], reasons=tuple(meta["collapse"]["reasons"])
        ),
        mixture=mixture,
        bayesian=mixture if meta.get("bayesian_is_mixture") else others.pop("bayesian", None),
        resampled=tuple(others.values()),
        recuts={
            name: Recut(
                z_mean=arrays[f"recut.{name}.z_mean"],
                inside=arrays[f"recut.{name}.inside"],
            )
            for name in meta.get("recuts", ())
        },
        comparison=Comparison(**meta["comparison"]),
        seconds=meta["seconds"],
    )
    return run, meta.get("replicates", 0)


def _mixture(meta: dict[str, Any], arrays: dict[str, Any], prefix: str) -> Mixture:
    fits = tuple(
        GaussianMixtureFit(
            **scalars, **{name: arrays[f"{prefix}fit{i}.{name}"] for name in _FIT_ARRAYS}
        )
        for i, scalars in enumerate(meta["fits"])
    )
    elbo = meta.get("elbo")
    held = {name: arrays[f"{prefix}{name}"] for name in _MIXTURE_ARRAYS}
    return Mixture(
        fits=fits,
        chosen=meta["chosen"],
        selection_weight=meta["selection_weight"],
        space=meta["space"],
        failure=meta["failure"],
        elbo=None if elbo is None else ElboEstimate(**elbo),
        **held,
    )


def keypoint_table(run: WorkflowRun) -> pd.DataFrame:
    """One row per key point: where it is, what it is, and how it lies.

    Columns row_px, col_px, kept, component, probability, core, z1.., angle_deg (counter-clockwise
    turn of the content on a view with row 0 at the top), shift_row_px (down), shift_col_px
    (right), and the shifts in nm where the pixel size is known. What the model cannot express
    is left empty.
    """
    mixture, latents = run.mixture, run.latents
    n = len(latents)
    fitted = mixture.chosen is not None
    table = pd.DataFrame(
        {
            "row_px": run.keypoints.yx_px[:, 0],
            "col_px": run.keypoints.yx_px[:, 1],
            "kept": mixture.kept,
            "component": mixture.component,
            "probability": mixture.responsibilities.max(axis=1) if fitted else np.nan,
            "core": mixture.core,
        }
    )
    for j in range(latents.latent_dim):
        table[f"z{j + 1}"] = latents.z_mean[:, j]
    missing = np.full(n, np.nan)
    table["angle_deg"] = np.degrees(latents.codes.get("angle_rad", missing))
    nm = run.micrograph.pixel_size_nm
    for axis in ("row", "col"):
        table[f"shift_{axis}_px"] = latents.codes.get(f"shift_{axis}_px", missing)
    for axis in ("row", "col"):
        table[f"shift_{axis}_nm"] = table[f"shift_{axis}_px"] * (np.nan if nm is None else nm)
    table["magnification"] = latents.codes.get("magnification", missing)
    table["error_nats"] = latents.error_nats
    return table


def write_export(run: WorkflowRun, record: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``keypoints.csv``, ``trial.json`` and the model for use outside the study."""
    folder.mkdir(parents=True, exist_ok=True)
    csv, record_file = folder / "keypoints.csv", folder / "trial.json"
    keypoint_table(run).to_csv(csv, index=False)
    record_file.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    return [csv, record_file, save_vae(run.vae, folder / MODEL)]
