"""Descriptors of windows that hardly change when a window is turned or shifted.

The amplitude spectrum of a window under a round taper changes with a shift only by what leaves and
enters. On circles about zero frequency it is a function of the angle, and a turn of the window
shifts that function: the absolute values of its Fourier coefficients stay.

Source: Ojansivu and Heikkila, ICISP 2008, LNCS 5099, 236, for spectra as blur-tolerant descriptors;
Lazebnik, Schmid and Ponce, IEEE TPAMI 27, 1265 (2005), for texture compared whatever its turn.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["describe", "most_alike"]

Array = NDArray[np.floating[Any]]

_BANDS, _BAND_ANGLES, _BAND_ORDER = 8, 32, 4
_PASSED = 0.7  # of the Nyquist frequency: what lies above is mostly noise
_BLOCK_PIXELS = 4_000_000
_BLOCK_PAIRS = 4_000_000
# The square root lifts the rounding of a transform, 1e-16, to 1e-8; contrast is 1e-3 and more.
_SAME = 1e-6


def describe(pixels: ArrayLike, yx_px: ArrayLike, size_px: int, *, n_features: int = 12) -> Array:
    """Descriptor of the round window about each place.

    Features are standardised over the places, and their first principal components are returned:
    distances between descriptors are Euclidean.

    Args:
        pixels: (height, width) image.
        yx_px: (n, 2) places, ``size_px`` / 2 or more from the border; mirrored beyond it.
        size_px: diameter of the window [px], 3 or more.
        n_features: most components.

    Returns:
        (n, at most n_features) float64; fewer where there are fewer places or features, and none
        where all windows are the same up to a turn, as they are in a constant image.

    Raises:
        ValueError: a window below 3 px.
    """
    image, places = np.asarray(pixels, np.float64), np.asarray(yx_px, np.float64).reshape(-1, 2)
    if size_px < 3:
        raise ValueError(f"size_px must be 3 or more, got {size_px}")
    step = max(1, _BLOCK_PIXELS // _padded(size_px) ** 2)
    blocks = [places[start : start + step] for start in range(0, len(places), step)]
    if not blocks:
        return np.zeros((0, 0))
    spectra = np.concatenate([_spectra(image, block, size_px) for block in blocks])
    return _principal(_standardised(spectra), n_features)


def most_alike(
    descriptor: ArrayLike, yx_px: ArrayLike, k: int, *, apart_px: float = 0.0
) -> NDArray[np.int64]:
    """The ``k`` most similar places of each, among those that lie further away than ``apart_px``.

    Windows that overlap look alike because they share pixels, which says nothing.

    Args:
        descriptor: (n, f), compared by Euclidean distance.
        yx_px: (n, 2) places [px].
        k: how many.
        apart_px: places at this distance or closer do not count [px].

    Returns:
        (n, k) indices, the most similar first; -1 where there are not enough, and everywhere if
        f = 0.

    >>> most_alike([[0.0], [0.1], [5.0], [5.2]], [(0, 0), (0, 9), (9, 0), (9, 9)], 1).ravel()
    array([1, 0, 3, 2])
    """
    features = np.asarray(descriptor, np.float64)
    places = np.asarray(yx_px, np.float64).reshape(-1, 2)
    n = len(places)
    found = np.full((n, k), -1, dtype=np.int64)
    if n == 0 or features.shape[1] == 0:
        return found
    tree, left, asked = cKDTree(features), np.arange(n), min(n, 4 * k + 1)
    while len(left):  # nearly all are done at once; those among many close ones ask for more
        short, step = [], max(1, _BLOCK_PAIRS // asked)
        for rows in (left[start : start + step] for start in range(0, len(left), step)):
            order = np.asarray(tree.query(features[rows], asked)[1]).reshape(len(rows), asked)
            distance = np.linalg.norm(places[order] - places[rows][:, None], axis=2)
            counts = (distance > apart_px) & (order != rows[:, None])
            rank = np.cumsum(counts, axis=1)
            row, column = np.nonzero(counts & (rank <= k))
            found[rows[row], rank[row, column] - 1] = order[row, column]
            short.append(rows[rank[:, -1] < k])
        left = np.concatenate(short) if asked < n else left[:0]
        asked = min(n, 4 * asked)
    return found


def _spectra(image: Array, places: Array, size_px: int) -> Array:
    offset = np.arange(size_px) - (size_px - 1) / 2
    row = places[:, 0, None, None] + offset[:, None] + np.zeros(size_px)
    column = places[:, 1, None, None] + offset + np.zeros((size_px, 1))
    grey = ndimage.map_coordinates(image, [row, column], order=1, mode="mirror")
    from_centre = np.hypot(offset[:, None], offset) / (size_px / 2)
    taper = np.cos(np.pi / 2 * np.minimum(from_centre, 1)) ** 2
    mean = np.average(grey.reshape(len(places), -1), axis=1, weights=taper.ravel())
    grey = grey - mean[:, None, None]
    variance = np.average((grey**2).reshape(len(places), -1), axis=1, weights=taper.ravel())
    padded = _padded(size_px)
    spectrum = np.fft.fftshift(np.fft.fft2(grey * taper, s=(padded, padded)), axes=(1, 2))
    strength = np.sqrt(np.abs(spectrum)).reshape(len(places), -1)
    bands = (strength @ _bands_of(padded)).reshape(len(places), _BANDS, _BAND_ANGLES)
    orders = np.abs(np.fft.rfft(bands, axis=2))[:, :, : _BAND_ORDER + 1] / _BAND_ANGLES
    return np.column_stack([orders.reshape(len(places), -1), mean, np.sqrt(variance)])


def _bands_of(padded: int) -> Array:
    """(padded**2, bands * angles): values of a spectrum on circles, by bilinear interpolation."""
    radius = (np.arange(_BANDS) + 0.7) / _BANDS * (padded / 2 * _PASSED)
    angle = np.arange(_BAND_ANGLES) * np.pi / _BAND_ANGLES  # the other half is the same
    row = (padded / 2 + radius[:, None] * np.sin(angle)).ravel()
    column = (padded / 2 + radius[:, None] * np.cos(angle)).ravel()
    weights = np.zeros((padded * padded, row.size))
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
            weights[(top + down) * padded + left + right, np.arange(row.size)] += weight
    return weights


def _padded(size_px: int) -> int:
    """Edge of the window with zeros round it, for a fast transform."""
    return 32 * -(-size_px // 32)


def _standardised(features: Array) -> Array:
    """Zero mean and unit variance over places, and a mean square of 1 per place in total."""
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0)
    told = spread > _SAME  # a feature that is the same everywhere says nothing
    return np.asarray(centred[:, told] / spread[told] / np.sqrt(max(1, told.sum())))


def _principal(features: Array, most: int) -> Array:
    u, s, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    return np.asarray(u[:, :most] * s[:most])
