"""A trained VAE as one safetensors file that carries its whole configuration."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vaeopt.core.errors import DataError, SettingsError
from vaeopt.core.types import TrainedVae
from vaeopt.stages.vae.settings import VaeSettings

__all__ = ["load_vae", "save_vae"]

_FORMAT = "vaeopt-vae-1"
_LOSS = "training.loss_nats"


def save_vae(vae: TrainedVae, path: Path | str) -> Path:
    """Write weights, learning curve and configuration; nothing in the file is executable."""
    path = Path(path)
    meta = {
        "format": _FORMAT,
        "config": dict(vae.config),
        "window_px": vae.window_px,
        "diverged": vae.diverged,
        "stopped": vae.stopped,
        "pixel_scaling": vae.pixel_scaling,
        "pixel_size_nm": vae.pixel_size_nm,
    }
    arrays = {f"weight.{name}": np.ascontiguousarray(a) for name, a in vae.weights.items()}
    arrays[_LOSS] = np.ascontiguousarray(vae.loss_nats, dtype=np.float64)
    save_file(arrays, path, metadata={"vaeopt": json.dumps(meta)})
    return path


def load_vae(path: Path | str) -> TrainedVae:
    """Read what :func:`save_vae` wrote; no setting has to be given again.

    Raises:
        DataError: no such file, or not a model of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"model file {str(path)!r} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            meta = json.loads((file.metadata() or {}).get("vaeopt", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if meta.get("format") != _FORMAT:
            raise DataError(f"{path.name} is not a model written by vaeopt ({_FORMAT})")
        scaling = meta["pixel_scaling"]
        return TrainedVae(
            config=VaeSettings(**meta["config"]).to_table(),
            window_px=meta["window_px"],
            weights={n.removeprefix("weight."): a for n, a in arrays.items() if n != _LOSS},
            loss_nats=arrays[_LOSS],
            diverged=meta["diverged"],
            stopped=meta.get("stopped", False),  # older files have none
            pixel_scaling=None if scaling is None else (scaling[0], scaling[1]),
            pixel_size_nm=meta["pixel_size_nm"],
        )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise DataError(f"{path.name} was written by another version: {error}") from error
        raise DataError(f"{path.name} is damaged: {error}") from error
