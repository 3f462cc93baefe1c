"""The latents of a trial as a tidy table: one row per key point."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial

from vaeopt.core.errors import StudyError
from vaeopt.stages.vae import load_vae
from vaeopt.study.artefacts.store import Artefacts, artefacts_of
from vaeopt.study.file import StudyFile, StudySettings, open_study
from vaeopt.study.fronts.pareto import pick
from vaeopt.study.origin import origin_of
from vaeopt.study.results.latents import StoredLatents, read_latents
from vaeopt.study.results.records import FILES
from vaeopt.study.storage import load_study
from vaeopt.workflow.artefacts import MODEL

__all__ = ["latents_frame"]


def latents_frame(
    study: optuna.Study | str | Path | StudySettings | StudyFile,
    trial: int | str = "best",
    *,
    storage: str | None = None,
) -> pd.DataFrame:
    """One row per key point of a finished trial: where it is, what it is, and how sure that is.

    Columns, of which those that the model cannot express are not there:

    - ``trial``, ``keypoint`` (from 0, the same points in all trials with one detector);
    - ``y_px``, ``x_px``: row and column; ``y_nm``, ``x_nm``: NaN where the pixel size is unknown;
    - ``z1``, ... and ``sd1``, ...: posterior means and standard deviations of the latents;
    - pose: ``angle_rad`` (counter-clockwise on a view with row 0 on top), ``shift_row_px`` (down),
      ``shift_col_px`` (right), ``magnification``;
    - ``error_nats``: NLL of the patch, summed over its pixels, at the posterior mean;
    - ``kept``: passed the density filter; ``core``: core point of its component;
    - ``component``: the most probable one, from 0, or -1 without a mixture; ``responsibility``: its
      probability under the mixture, NaN without one.

    Nothing is trained, and no image is read.

    Args:
        study: a study folder, a ``.toml`` file, settings, or the study that
            ``vo.optimize`` or ``vo.load_study`` gave.
        trial: number, or ``"best"``: of several objectives the compromise.
        storage: Optuna storage URL, with a folder or a file.

    Raises:
        StudyError: no such finished trial, its files are missing, or a study that Optuna alone has
            opened.

    With replicates, the first training counts, as in figures and exports.
    """
    if isinstance(study, optuna.Study):
        if storage is not None:
            raise StudyError("this study knows its storage", setting="storage", remedy="leave out")
        file, opened = origin_of(study), study
    else:
        file = open_study(study)
        opened = load_study(file, storage)
    found, store = pick(opened, str(trial)), artefacts_of(file)
    return _table(read_latents(found, store), _pixel_size_nm(found, store))


def _table(latents: StoredLatents, pixel_size_nm: float | None) -> pd.DataFrame:
    n, nm = len(latents), np.nan if pixel_size_nm is None else pixel_size_nm
    fitted = latents.n_components > 0
    units = range(latents.latent_dim)
    columns = {
        "trial": np.full(n, latents.trial, np.int64),
        "keypoint": np.arange(n, dtype=np.int64),
        "y_px": latents.yx_px[:, 0],
        "x_px": latents.yx_px[:, 1],
        "y_nm": latents.yx_px[:, 0] * nm,
        "x_nm": latents.yx_px[:, 1] * nm,
        **{f"z{j + 1}": latents.z_mean[:, j] for j in units},
        **{f"sd{j + 1}": latents.z_std[:, j] for j in units},
        **latents.codes,
        "error_nats": np.asarray(latents.error_nats, np.float64),
        "kept": latents.kept,
        "core": latents.core,
        "component": latents.component,
        "responsibility": latents.responsibilities.max(axis=1) if fitted else np.full(n, np.nan),
    }
    return pd.DataFrame(columns)


def _pixel_size_nm(trial: FrozenTrial, store: Artefacts) -> float | None:
    """Edge of a pixel; the model carries it, so the image is not needed."""
    try:
        with (
            tempfile.NamedTemporaryFile(suffix=f"-{MODEL}") as held,
            store.open_reader(trial.user_attrs[FILES][MODEL]) as reader,
        ):
            shutil.copyfileobj(reader, held)
            held.flush()
            return load_vae(held.name).pixel_size_nm
    except (ArtifactNotFound, KeyError) as error:
        raise StudyError(
            f"file {MODEL} of trial {trial.number} is not in {store}",
            remedy="put the artefacts back, or make them again with 'vaeopt replay --restore'",
        ) from error
