"""What a run leaves behind as files, and how a run is rebuilt from them without training."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaeopt.core.errors import DataError
from vaeopt.core.types import (
    Collapse,
    Comparison,
    Floats,
    GaussianMixtureFit,
    KeyPoints,
    Latents,
    Micrograph,
    Mixture,
    Reconstruction,
    WorkflowRun,
)
from vaeopt.kernels.latent import unit_diagnostics
from vaeopt.stages.patches import PatchSettings, cut
from vaeopt.stages.vae import load_vae, save_vae

__all__ = ["ARRAYS", "MODEL", "keypoint_table", "load_run", "save_run", "write_export"]

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


def save_run(run: WorkflowRun, folder: Path) -> tuple[Path, Path]:
    """Write all arrays of a run (one ``.npz``, no pickle) and its model; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    latents, mixture, found = run.latents, run.mixture, run.latents.reconstruction
    meta = {
        "format": _FORMAT,
        "image_sha256": run.micrograph.sha256,
        "comparison": vars(run.comparison),
        "reconstruction": vars(found),
        "collapse": {"margin": run.collapse.margin, "reasons": list(run.collapse.reasons)},
        "mixture": {
            "chosen": mixture.chosen,
            "selection_weight": mixture.selection_weight,
            "space": mixture.space,
            "failure": mixture.failure,
            "fits": [{name: getattr(fit, name) for name in _FIT_SCALARS} for fit in mixture.fits],
        },
        "codes": list(latents.codes),
        "seconds": dict(run.seconds),
    }
    arrays: dict[str, Any] = {
        "meta": np.asarray(json.dumps(meta)),
        "yx_px": run.keypoints.yx_px,
        "strength": run.keypoints.strength,
        "z_mean": latents.z_mean,
        "z_std": latents.z_std,
        "code_mean": latents.code_mean,
        "code_std": latents.code_std,
        "error_nats": latents.error_nats,
        "shift": mixture.shift,
        "transform": mixture.transform,
        "fit_index": mixture.fit_index,
        "kept": mixture.kept,
        "responsibilities": mixture.responsibilities,
        "core": mixture.core,
    }
    arrays |= {f"code.{name}": values for name, values in latents.codes.items()}
    for i, fit in enumerate(mixture.fits):
        arrays |= {
            f"fit{i}.weights": fit.weights,
            f"fit{i}.means": fit.means,
            f"fit{i}.covariances": fit.covariances,
        }
    with (folder / ARRAYS).open("wb") as file:
        np.savez_compressed(file, **arrays)
    return folder / ARRAYS, save_vae(run.vae, folder / MODEL)


def load_run(arrays_file: Path, model_file: Path, micrograph: Micrograph) -> WorkflowRun:
    """The run that :func:`save_run` wrote, with patches cut again from the image.

    Raises:
        DataError: a damaged file, or an image that is not the one of the run.
    """
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
    vae = load_vae(model_file)
    keypoints = KeyPoints(yx_px=arrays["yx_px"], strength=arrays["strength"])
    latents = Latents(
        z_mean=arrays["z_mean"],
        z_std=arrays["z_std"],
        codes={name: arrays[f"code.{name}"] for name in meta["codes"]},
        code_mean=arrays["code_mean"],
        code_std=arrays["code_std"],
        error_nats=arrays["error_nats"],
        reconstruction=Reconstruction(**meta["reconstruction"]),
    )
    return WorkflowRun(
        micrograph=micrograph,
        keypoints=keypoints,
        patches=cut(PatchSettings(size_px=vae.window_px), micrograph, keypoints),
        vae=vae,
        latents=latents,
        diagnostics=unit_diagnostics(
            latents.z_mean, latents.z_std, latents.code_mean, latents.code_std
        ),
        collapse=Collapse(
            margin=meta["collapse"]["margin"], reasons=tuple(meta["collapse"]["reasons"])
        ),
        mixture=_mixture(meta["mixture"], arrays),
        comparison=Comparison(**meta["comparison"]),
        seconds=meta["seconds"],
    )


def _mixture(meta: dict[str, Any], arrays: dict[str, Floats]) -> Mixture:
    fits = tuple(
        GaussianMixtureFit(
            **scalars,
            weights=arrays[f"fit{i}.weights"],
            means=arrays[f"fit{i}.means"],
            covariances=arrays[f"fit{i}.covariances"],
        )
        for i, scalars in enumerate(meta["fits"])
    )
    return Mixture(
        fits=fits,
        chosen=meta["chosen"],
        selection_weight=meta["selection_weight"],
        space=meta["space"],
        failure=meta["failure"],
        shift=arrays["shift"],
        transform=arrays["transform"],
        fit_index=arrays["fit_index"],  # type: ignore[arg-type]  # stored as int64
        kept=arrays["kept"],  # type: ignore[arg-type]  # stored as bool
        responsibilities=arrays["responsibilities"],
        core=arrays["core"],  # type: ignore[arg-type]  # stored as bool
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
