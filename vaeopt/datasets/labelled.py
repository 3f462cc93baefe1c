"""From the arrays of a published scan to its image, its key points and their classes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Labelled", "layers", "regions", "sites", "walls"]

_MOS2_LATTICE_NM = 0.316
_CLEAR_PX = 20.0

Arrays = Mapping[str, NDArray[Any]]


class Labelled(NamedTuple):
    """What is read off the files of one scan; as in ``ReferenceScan``."""

    pixels: NDArray[Any]
    pixel_size_nm: float | None
    yx_px: NDArray[Any]
    classes: NDArray[Any]
    lengths_px: Mapping[str, float] = MappingProxyType({})
    length_px: float | None = None


def walls(arrays: Arrays, *, period_px: float | None) -> Labelled:
    """Edges of the amplitude; classes from the phase."""
    from vaeopt.datasets.labels import polarity_domains, wall_classes
    from vaeopt.datasets.places import steep_places

    amplitude = arrays["amplitude"].astype(np.float64)
    # A few pixels are more than twice as bright as the rest: without a limit they are the edges.
    clipped = np.clip(amplitude, *np.percentile(amplitude, [1, 99]))
    yx_px = steep_places(clipped, sigma_px=1.5, spacing_px=5.0)
    domains = polarity_domains(amplitude, arrays["phase_deg"])
    return Labelled(
        pixels=amplitude,
        pixel_size_nm=float(arrays["scan_size_m"]) / amplitude.shape[1] * 1e9,
        yx_px=yx_px,
        classes=wall_classes(domains, yx_px),
        lengths_px={} if period_px is None else {"lamella_period": period_px},
        length_px=period_px,
    )


def sites(arrays: Arrays, *, channel: str) -> Labelled:
    """Sites and classes as they are stored; the lattice says how large a pixel is."""
    lattice_px = float(arrays["lattice_px"])
    return Labelled(
        pixels=arrays[channel],
        pixel_size_nm=_MOS2_LATTICE_NM / lattice_px,
        yx_px=arrays["yx"],
        classes=arrays["site_class"],
        lengths_px={"lattice": lattice_px, "nearest_sites": lattice_px / 3**0.5},
        length_px=lattice_px,
    )


def layers(arrays: Arrays) -> Labelled:
    """Bright columns and layers as they are stored; the lattice is the distance of rows."""
    row, yx_px = arrays["row"], arrays["yx"].astype(np.float64)
    heights = np.asarray([yx_px[row == r, 0].mean() for r in np.unique(row)])
    spacing_px = float(np.median(np.diff(heights)))
    return Labelled(
        pixels=arrays["image"],
        pixel_size_nm=None,
        yx_px=yx_px,
        classes=arrays["layer_class"],
        lengths_px={"row_spacing": spacing_px},
        length_px=spacing_px,
    )


def regions(arrays: Arrays) -> Labelled:
    """Edges of nanodomain stripes inside the marked regions, away from what was drawn on them."""
    from scipy import ndimage

    from vaeopt.datasets.labels import region_classes
    from vaeopt.datasets.places import steep_places

    image, marked = arrays["image"], arrays["region"]
    yx_px = steep_places(image, sigma_px=3.0, spacing_px=16.0)
    clear = np.asarray(ndimage.distance_transform_edt(arrays["valid"])) >= _CLEAR_PX
    row, column = yx_px.astype(np.int64).T
    yx_px = yx_px[(marked > 0)[row, column] & clear[row, column]]
    return Labelled(
        pixels=image,
        pixel_size_nm=250 / 260,  # scale bar in the authors' figure
        yx_px=yx_px,
        classes=region_classes(marked, yx_px, margin_px=_CLEAR_PX),
    )
