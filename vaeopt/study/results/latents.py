"""The latents of a finished trial, read from its file alone: nothing is rebuilt, nothing is cut."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial

from vaeopt.core.errors import StudyError
from vaeopt.core.types import Bools, Floats, Ints
from vaeopt.study.artefacts.store import Artefacts
from vaeopt.study.results.records import FILES
from vaeopt.workflow.artefacts import ARRAYS

__all__ = ["StoredLatents", "read_latents"]

_AGAIN = "put the artefacts back, or make them again with 'vaeopt replay --restore'"


@dataclass(frozen=True, kw_only=True)
class StoredLatents:
    """What a trial says of every key point; n key points, d latents, K components."""

    trial: int
    yx_px: Floats
    """(n, 2) row and column"""
    z_mean: Floats
    """(n, d)"""
    z_std: Floats
    """(n, d)"""
    codes: Mapping[str, Floats]
    """(n,) of each invariance: ``angle_rad``, ``shift_row_px``, ..."""
    error_nats: Floats
    """(n,)"""
    kept: Bools
    """(n,) passed the density filter"""
    core: Bools
    """(n,) core points of their component"""
    component: Ints
    """(n,) most probable component; -1 everywhere without a fit"""
    responsibilities: Floats
    """(n, K)"""
    weights: Floats
    """(K,) of the chosen fit"""
    means: Floats
    """(K, d) in the space of ``z_mean``"""
    covariances: Floats
    """(K, d, d) in the space of ``z_mean``"""
    reasons: tuple[str, ...]
    """why the latents collapsed; empty if they did not"""

    def __len__(self) -> int:
        """Number of key points."""
        return len(self.z_mean)

    @property
    def latent_dim(self) -> int:
        """Number of latents."""
        return int(self.z_mean.shape[1])

    @property
    def n_components(self) -> int:
        """Components of the chosen fit, 0 without one."""
        return len(self.weights)


def read_latents(trial: FrozenTrial, store: Artefacts) -> StoredLatents:
    """The latents of the first training of a finished trial.

    Much quicker than :func:`vaeopt.study.results.records.restore`, and needs no image.

    Raises:
        StudyError: its file is missing or damaged.
    """
    artifact_id = trial.user_attrs.get(FILES, {}).get(ARRAYS)
    missing = f"file {ARRAYS} of trial {trial.number} is not in {store}"
    if artifact_id is None:
        raise StudyError(missing, remedy=_AGAIN)
    try:
        with store.open_reader(artifact_id) as reader:
            held = np.load(io.BytesIO(reader.read()), allow_pickle=False)
            return _latents(trial.number, json.loads(str(held["meta"])), held)
    except (ArtifactNotFound, FileNotFoundError) as error:
        raise StudyError(missing, remedy=_AGAIN) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StudyError(
            f"file {ARRAYS} of trial {trial.number} in {store} is damaged", remedy=_AGAIN
        ) from error


def _latents(number: int, meta: Mapping[str, Any], held: Mapping[str, Any]) -> StoredLatents:
    z = held["z_mean"]
    chosen, shares = meta["mixture"]["chosen"], held["responsibilities"]
    if chosen is None:
        component = np.full(len(z), -1, np.int64)
        shares = np.zeros((len(z), 0))
        weights, means = np.zeros(0), np.zeros((0, z.shape[1]))
        covariances = np.zeros((0, z.shape[1], z.shape[1]))
    else:
        component = np.asarray(shares.argmax(axis=1), np.int64)
        # fit space = (z - shift) @ transform.T
        back = np.linalg.inv(held["transform"])
        weights = held[f"fit{chosen}.weights"]
        means = held["shift"] + held[f"fit{chosen}.means"] @ back.T
        covariances = back @ held[f"fit{chosen}.covariances"] @ back.T
    return StoredLatents(
        trial=number,
        yx_px=held["yx_px"],
        z_mean=z,
        z_std=held["z_std"],
        codes={name: held[f"code.{name}"] for name in meta["codes"]},
        error_nats=held["error_nats"],
        kept=held["kept"],
        core=held["core"],
        component=component,
        responsibilities=shares,
        weights=weights,
        means=means,
        covariances=covariances,
        reasons=tuple(meta["collapse"]["reasons"]),
    )
