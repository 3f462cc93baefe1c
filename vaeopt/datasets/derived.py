"""Published scans with classes derived from the data or from what the authors have marked.

The files are not fetched: ``VAEOPT_DATA_DIR`` names a folder that has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeopt.core.errors import DataError
from vaeopt.core.settings import nearest
from vaeopt.datasets.labelled import Arrays, Labelled, layers, regions, sites, walls
from vaeopt.datasets.lookup import DATA_DIR_VARIABLE, PublishedFile, data_folder, find
from vaeopt.datasets.reference import ReferenceScan

__all__ = ["REFERENCES", "reference"]

_DTMICROSCOPE = "https://github.com/pycroscopy/DTMicroscope, commit 17245ba"
_SCILINK = "https://github.com/ziatdinovmax/SciLink, commit a951889"
_SCIFIDATASETS = "https://github.com/pycroscopy/SciFiDatasets, commit 0c977f2"
_DOMAIN_ANALYSIS = "https://github.com/NBrichta/Ferroelectric-Domain-Analysis, commit 48c4728"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where a scan is, how it is read, and what is to be known of it."""

    files: tuple[PublishedFile, ...]
    """the image, and where its labels are if that is another file"""
    channel: str
    read: Callable[[Arrays], Labelled]
    class_names: tuple[str, ...]
    derived_from: str
    limits: str
    licence: str
    citation: str


def reference(name: str) -> ReferenceScan:
    """The published scan called ``name``, with its key points and their derived classes.

    Args:
        name: one of ``REFERENCES``.

    Raises:
        DataError: an unknown name; ``VAEOPT_DATA_DIR`` unset or no folder; a file that is missing
            there and below, or is not the published one.
    """
    if name not in _ENTRIES:
        raise DataError(f"unknown reference scan {name!r}", remedy=nearest(name, _ENTRIES))
    entry = _ENTRIES[name]
    folder = data_folder()
    if folder is None:
        wanted = " and ".join(file.filename for file in entry.files)
        raise DataError(
            f"unset: reference scan {name!r} needs {wanted}",
            setting=DATA_DIR_VARIABLE,
            remedy="set it to a folder that has the files, there or below",
        )
    paths = [
        find(file, folder, of=name, source=f"{file.filename} from {entry.citation}")
        for file in entry.files
    ]
    found = entry.read(_arrays(paths, entry.channel))
    return ReferenceScan(
        name=name,
        path=paths[0],
        channel=entry.channel,
        pixels=found.pixels.astype(np.float32),
        pixel_size_nm=found.pixel_size_nm,
        yx_px=found.yx_px.astype(np.float64),
        classes=found.classes.astype(np.int64),
        class_names=entry.class_names,
        lengths_px=dict(found.lengths_px),
        length_px=found.length_px,
        derived_from=entry.derived_from,
        limits=entry.limits,
        licence=entry.licence,
        citation=entry.citation,
    )


def _arrays(paths: list[Path], channel: str) -> dict[str, NDArray[Any]]:
    """All arrays of the files by name; an image that is alone in its file under its channel."""
    arrays: dict[str, NDArray[Any]] = {}
    for path in paths:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                arrays[channel] = loaded
            else:
                arrays.update({key: loaded[key] for key in loaded.files})
    return arrays


_WALLS_FROM = (
    "polarity, from the phase: a steep place of the amplitude within 3 px of a change is on a "
    "180-degree wall, one farther than 6 px from any change is on another edge"
)
_SITES_FROM = (
    "geometry of the lattice: Mo columns are bright maxima, the others are centroids of the two "
    "orientations of Mo triangles, the one that is brighter on average being S2"
)


def _pfm(
    filename: str, sha256: str, *, original: str, limits: str, period_px: float | None
) -> _Entry:
    return _Entry(
        files=(PublishedFile(filename, sha256),),
        channel="amplitude",
        read=partial(walls, period_px=period_px),
        class_names=("180-degree wall", "other edge"),
        derived_from=_WALLS_FROM,
        limits=limits,
        licence="MIT, (c) 2024 DTMicroscope",
        citation=f"{_DTMICROSCOPE}, {original}",
    )


def _mos2(stem: str, sha256: str, sites_sha256: str, *, limits: str) -> _Entry:
    return _Entry(
        files=(
            PublishedFile(f"{stem}.npy", sha256),
            PublishedFile(f"{stem}_sites.npz", sites_sha256),
        ),
        channel=stem,
        read=partial(sites, channel=stem),
        class_names=("Mo column", "S2 column", "hexagon centre"),
        derived_from=_SITES_FROM,
        limits=limits,
        licence="MIT, as declared in pyproject.toml of SciLink",
        citation=f"{_SCILINK}, examples/data/{stem}.npy",
    )


_ENTRIES: dict[str, _Entry] = {
    "pzt-walls": _pfm(
        "PZT_final0001.npz",
        "edb5f08db4a4b9d70b9ee62d72316a6a512b5fa214aeeea8dcf71f91c543bd61",
        original="data/AFM/PZT_final0001.h5",
        period_px=16.0,  # highest peak of the spectrum of tiles of 64 px
        limits=(
            "other edges are ferroelastic walls of two orientations and some topography, not told "
            "apart; where the amplitude is weak the polarity is uncertain"
        ),
    ),
    "pzt-thick-walls": _pfm(
        "PZT_thick0004.npz",
        "2d079dd7c45432662578b37ef34837c7b8976bc5a1833a4adf684b9260d96db4",
        original="data/AFM/PZT_thick0004.h5",
        period_px=9.5,  # stripes are 9 to 10 px apart
        limits=(
            "few 180-degree walls, most inside dark islands where the response is weak; other "
            "edges include outlines of such islands and jumps between blocks of scan lines"
        ),
    ),
    "stripe-domain-walls": _pfm(
        "scan_0001.npz",
        "2f5716b22c0d89128b4afacda17c8e47cb1a803f993d7a1e6aecc0d7b7fde349",
        original="notebooks/AFM/temp/scan_0001.ibw",
        period_px=None,
        limits=(
            "other edges are mostly faint texture inside domains, and a scratched or written band; "
            "the material is not stated"
        ),
    ),
    "mos2-vanadium-sites": _mos2(
        "MoS2_stem_Exp-000-2",
        "a2546278c0fc18016688de44d5d8f3df21eb61f1915232f120d936095b2a3d31",
        "0a7a1f5a3aace578cdfe369dac539e620e29249ee95a6f50019877624c203aae",
        limits=(
            "the 1 % vanadium on Mo places counts as Mo, vacancies count as the column that is "
            "missing; strongly damaged places are left out"
        ),
    ),
    "mos2-defects-sites": _mos2(
        "MoS2_stem_Exp-001-5",
        "74dd13de10282aa8f8a8cea84ab3a3b653fadeabc4b63ea6845afd90d9c049fb",
        "ef72c23dd18fdfac0a05b75930c131e4e3c377d926366d4d2d7fb346de71580d",
        limits=(
            "vacancies and adatoms count as the column whose place they have; near holes and "
            "residue a site may be a pixel or two off"
        ),
    ),
    "oxide-layers": _Entry(
        files=(
            PublishedFile(
                "SI_Survey.npz", "28a5f4473245fb572edf0a6131d939b3bfa35788ec79032ed05d8c4f1a3a6c1c"
            ),
        ),
        channel="image",
        read=layers,
        class_names=("dark layer", "middle layer", "bright layer"),
        derived_from=(
            "mean brightness of each row of bright columns; the two rows at the interfaces "
            "belong to no layer"
        ),
        limits=(
            "the layers differ in brightness and little in shape, so that patches normalised one "
            "by one hide them; materials are not stated"
        ),
        licence="MIT, (c) 2021 pycroscopy",
        citation=f"{_SCIFIDATASETS}, data/microscopy/em/tem/DMReader_Image_SI-Survey.dm3",
    ),
    "relaxor-regions": _Entry(
        files=(
            PublishedFile(
                "relaxor_domains.npz",
                "5125cb7869b57c4faeeb3ab8144f495eb30c8c5ad046cf26410fc32894be3e9d",
            ),
        ),
        channel="image",
        read=regions,
        class_names=("region 1", "region 2"),
        derived_from=(
            "lines that the authors drew over two domains; places within 20 px of an outline "
            "belong to none, those within 20 px of the drawn bar are left out"
        ),
        limits=(
            "the stripes of the two regions run about 92 degrees apart, so that a representation "
            "which ignores rotation may rightly merge them"
        ),
        licence="MIT, (c) 2024 Nathan Brichta",
        citation=f"{_DOMAIN_ANALYSIS}, README_files/roi_image.png and image.png",
    ),
}

REFERENCES: tuple[str, ...] = tuple(_ENTRIES)
"""names that :func:`reference` knows"""
