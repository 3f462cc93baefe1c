"""Classes of key points from what else is known of a place: its polarity, its region."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.datasets.rendered import AMBIGUOUS

__all__ = ["polarity_domains", "region_classes", "wall_classes"]

Floats = NDArray[np.floating[Any]]


def polarity_domains(
    amplitude: Floats, phase_deg: Floats, *, sigma_px: float = 1.0
) -> NDArray[np.bool_]:
    """Domains of opposite polarity of a piezoresponse scan.

    The phase of such a scan takes two values half a turn apart, and an offset of the instrument.
    The offset is half the argument of the mean of the squared complex response: squaring lays both
    values on one. Of the response along this axis, smoothed, the sign is the polarity.

    Args:
        amplitude: (height, width), any unit.
        phase_deg: (height, width) phase [degrees].
        sigma_px: width of the Gaussian that smooths the signed response [px].

    Returns:
        (height, width), true on the polarity that covers less of the image.
    """
    from scipy import ndimage

    turn = np.exp(1j * np.deg2rad(np.asarray(phase_deg, dtype=np.float64)))
    response = np.asarray(amplitude, dtype=np.float64) * turn
    offset = np.angle((response**2).mean()) / 2
    signed = (response * np.exp(-1j * offset)).real
    positive = np.asarray(ndimage.gaussian_filter(signed, sigma_px) > 0)
    return ~positive if positive.mean() > 0.5 else positive


def wall_classes(
    domains: NDArray[np.bool_],
    yx_px: Floats,
    *,
    wall_px: float = 3.0,
    far_px: float = 6.0,
    smallest_px: int = 30,
) -> NDArray[np.int64]:
    """Places on an edge of the image: 0 on a 180-degree wall, 1 far from any.

    Where the response is weak the sign is noise, and islands of a few pixels appear. Their
    outlines are not taken for walls, nor is a place close to them taken for anything else.

    Args:
        domains: (height, width) polarity.
        yx_px: (n, 2) places inside the image.
        wall_px: a place this close to a change of polarity, or closer, is on the wall [px].
        far_px: a place farther than this from any change is on another edge [px].
        smallest_px: connected areas of fewer pixels are no domains.

    Returns:
        (n,) 0, 1, or ``AMBIGUOUS`` between the two distances and at small islands.
    """
    row, column = np.rint(yx_px).astype(np.int64).T
    to_wall = _to_change_px(_without_islands(domains, smallest_px))[row, column]
    to_any = _to_change_px(domains)[row, column]
    classes = np.full(len(row), AMBIGUOUS, dtype=np.int64)
    classes[to_any > far_px] = 1
    classes[to_wall <= wall_px] = 0
    return classes


def region_classes(
    regions: NDArray[np.integer[Any]], yx_px: Floats, *, margin_px: float
) -> NDArray[np.int64]:
    """Class of places inside marked regions; those near an outline belong to none.

    Args:
        regions: (height, width) 0 where nothing is marked, else 1, 2, ...
        yx_px: (n, 2) places inside the image.
        margin_px: a place of a region is at least this far from every pixel outside it [px].

    Returns:
        (n,) region - 1, or ``AMBIGUOUS``.
    """
    from scipy import ndimage

    row, column = np.rint(yx_px).astype(np.int64).T
    classes = np.full(len(row), AMBIGUOUS, dtype=np.int64)
    for region in np.unique(regions[regions > 0]):
        inside = regions == region
        if inside.all():
            deep = np.full(inside.shape, np.inf)
        else:
            deep = np.asarray(ndimage.distance_transform_edt(inside))
        classes[deep[row, column] >= margin_px] = int(region) - 1
    return classes


def _to_change_px(domains: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of every pixel to the nearest border between two polarities [px]."""
    from scipy import ndimage

    if domains.all() or not domains.any():
        return np.full(domains.shape, np.inf)
    inside, outside = (
        np.asarray(ndimage.distance_transform_edt(mask)) for mask in (domains, ~domains)
    )
    # The border runs between pixels, half a pixel before the first one of the other side.
    return np.where(domains, inside, outside) - 0.5


def _without_islands(domains: NDArray[np.bool_], smallest_px: int) -> NDArray[np.bool_]:
    """Small connected areas given to what surrounds them."""
    from scipy import ndimage

    cleaned = domains.copy()
    for value in (True, False):
        areas, _ = ndimage.label(cleaned == value)
        small = np.bincount(areas.ravel()) < smallest_px
        small[0] = False  # the rest of the image
        cleaned[small[areas]] = not value
    return cleaned
