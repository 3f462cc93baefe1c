"""Ordinary pictures (PNG, TIFF, JPEG, BMP), read with scikit-image."""

from pathlib import Path

import numpy as np
from skimage import io

from vaeopt.stages.micrograph.readers.base import RawScan

__all__ = ["read"]

_COLOURS = ("red", "green", "blue")


def read(path: Path) -> RawScan:
    """Grey pictures give the channel ``grey``; colour ones also give red, green and blue."""
    array = np.asarray(io.imread(path))
    if array.ndim == 2:
        return RawScan(channels={"grey": array}, pixel_size_nm=None)
    if array.ndim != 3 or array.shape[2] not in (2, 3, 4):
        return RawScan(channels={}, pixel_size_nm=None)
    if array.shape[2] == 2:  # grey and opacity
        return RawScan(channels={"grey": array[..., 0]}, pixel_size_nm=None)
    colours = array[..., :3].astype(np.float64)
    grey = colours @ [0.2125, 0.7154, 0.0721]  # CIE luminance weights, as scikit-image's rgb2gray
    channels = {"grey": grey} | {n: colours[..., i] for i, n in enumerate(_COLOURS)}
    return RawScan(channels=channels, pixel_size_nm=None)
