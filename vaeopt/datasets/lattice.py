"""A rendered STEM frame of rotated grains of three atomic motifs, with known truth.

All motifs have one dim column per bright one, equal heights and equal density: the square one has
its dim columns in the middle of the cell, the honeycomb in every other hollow of a triangular
lattice, the rectangular one in the middle of the long edge. Averaged over a cell they are equally
bright; they differ in how columns are arranged: a bright one has 4, 3 or 2 dim neighbours.

========== ====== ==== ======== ======= ========== ====== =========
difficulty motifs dose probe px line px background strain vacancies
========== ====== ==== ======== ======= ========== ====== =========
easy       2      100  1.7      0       0.02       0.005  0.5 %
medium     3      20   2.1      0.25    0.04       0.015  2 %
hard       3      8    2.5      0.4     0.08       0.03   4 %
========== ====== ==== ======== ======= ========== ====== =========

``dose`` is in electrons per pixel of intensity 1 (a bright column), ``line`` the shift of lines of
the scan, ``background`` how uneven the frame is lit, ``strain`` the root mean square of a component
of the displacement gradient, ``vacancies`` the share of columns that are missing. Easy frames
hold the square and the honeycomb motif only.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vaeopt.core.seeds import derive
from vaeopt.datasets.atoms import (
    Columns,
    Frame,
    Strain,
    as_found,
    check_arguments,
    expose,
    lattice_sites,
    pixel_places,
    query,
    rotation,
    wrapped,
)
from vaeopt.datasets.rendered import AMBIGUOUS, RenderedScan

__all__ = [
    "CLASS_NAMES",
    "LENGTHS_PX",
    "NAME",
    "PRESETS",
    "SMALLEST_PX",
    "SYMMETRY",
    "Preset",
    "render_lattice",
]

NAME = "lattice"
CLASS_NAMES = ("square", "honeycomb", "rectangular")
SYMMETRY = (4, 3, 2)
"""of the whole motif, and of what is seen round a bright column"""

LENGTHS_PX = MappingProxyType(
    {
        "grain_diameter": 88.0,
        "lattice_constant": 12.0,  # of the square motif; the others have cells of the same area
        "first_shell": 8.5,  # from a bright column to its dim neighbours, at most
        "boundary_margin": 10.0,  # further than the first shell, also when strained
        "vacancy_margin": 10.0,
    }
)
PIXEL_SIZE_NM = 0.39 / LENGTHS_PX["lattice_constant"]
SMALLEST_PX = 160  # below this grains hold a handful of cells

BRIGHT, DIM = 1.0, 0.5
ASPECT = 1.5  # of the rectangular cell

Values = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How difficult a frame is."""

    n_motifs: int
    frame: Frame
    strain: float
    vacancies: float


PRESETS = MappingProxyType(
    {
        "easy": Preset(
            n_motifs=2,
            frame=Frame(dose=100, probe_px=1.7, line_shift_px=0.0, background=0.02),
            strain=0.005,
            vacancies=0.005,
        ),
        "medium": Preset(
            n_motifs=3,
            frame=Frame(dose=20, probe_px=2.1, line_shift_px=0.25, background=0.04),
            strain=0.015,
            vacancies=0.02,
        ),
        "hard": Preset(
            n_motifs=3,
            frame=Frame(dose=8, probe_px=2.5, line_shift_px=0.4, background=0.08),
            strain=0.03,
            vacancies=0.04,
        ),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Motif:
    """A cell whose bright column is at the origin; its dim one lies along the angle 0."""

    vectors_px: Values
    """(2, 2) rows span the lattice, each (row, column)"""
    dim_px: Values
    """(2,) from the bright to the dim column"""


def _motifs() -> tuple[_Motif, ...]:
    """The three motifs, cells of equal area."""
    a = LENGTHS_PX["lattice_constant"]
    diagonal = a / np.sqrt(2)
    square = np.array([[diagonal, diagonal], [-diagonal, diagonal]])
    side = a * np.sqrt(2 / np.sqrt(3))
    triangular = side * np.array([[0.5, np.sqrt(3) / 2], [-0.5, np.sqrt(3) / 2]])
    long, short = a * np.sqrt(ASPECT), a / np.sqrt(ASPECT)
    return (
        _Motif(vectors_px=square, dim_px=np.array([0.0, diagonal])),
        _Motif(vectors_px=triangular, dim_px=np.array([0.0, side / np.sqrt(3)])),
        _Motif(vectors_px=np.diag([short, long]), dim_px=np.array([0.0, long / 2])),
    )


_MOTIFS = _motifs()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grains:
    """Polygons that fill the frame."""

    centres_px: Values
    """(n, 2)"""
    kind: Labels
    """(n,) index of the motif"""
    angle_rad: Values
    """(n,) from a bright column to one of its dim neighbours"""


def render_lattice(
    *, seed: int = 0, difficulty: str = "medium", size_px: int = 352, dose: float | None = None
) -> RenderedScan:
    """Render one frame; the truth depends on ``seed``, ``size_px``, strain and vacancies only.

    Key points are the bright columns, as a detector of maxima finds them. The angle is that from a
    bright column to a dim neighbour.

    Args:
        seed: 0 or more; the same seed gives the same frame bit for bit.
        difficulty: ``"easy"``, ``"medium"`` or ``"hard"``, see the top of this module.
        size_px: edge of the square frame [px], 160 or more. Lattices keep their size in pixels.
        dose: electrons per pixel of intensity 1, in place of that of the preset; infinite: no shot
            noise.

    Returns:
        The frame, with ``class_map`` -1 near grain boundaries and near vacancies.

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_lattice(seed=1, size_px=160)
    >>> scan.pixels.shape, scan.class_names[1], scan.symmetry
    ((160, 160), 'honeycomb', (4, 3, 2))
    """
    check_arguments(
        seed=seed,
        difficulty=difficulty,
        presets=tuple(PRESETS),
        size_px=size_px,
        smallest_px=SMALLEST_PX,
        dose=dose,
    )
    preset = PRESETS[difficulty]
    frame = preset.frame if dose is None else replace(preset.frame, dose=dose)
    grains = _grains(size_px, preset.n_motifs, _rng(seed, "grains"))
    strain = Strain(_rng(seed, "strain"), preset.strain)
    columns, bright, missing_px = _columns(
        grains, size_px, strain, preset.vacancies, _rng(seed, "columns")
    )

    yx = pixel_places(size_px)
    owner, margin_px = _owner(yx, grains.centres_px)
    clear = margin_px >= LENGTHS_PX["boundary_margin"]
    if len(missing_px):
        clear &= query(missing_px, yx)[0] > LENGTHS_PX["vacancy_margin"]
    class_map = np.where(clear, grains.kind[owner], AMBIGUOUS).astype(np.int16)
    angle = grains.angle_rad[owner] + strain.turn(yx)
    angle_map = np.full(clear.shape, np.nan, dtype=np.float32)
    for kind in range(preset.n_motifs):
        here = class_map == kind
        angle_map[here] = wrapped(angle[here], SYMMETRY[kind])

    found = as_found(columns.yx_px[bright], _rng(seed, "detector"))
    inside = ((found >= 2) & (found <= size_px - 3)).all(axis=1)
    return RenderedScan(
        name=NAME,
        pixels=expose(columns, size_px, frame, _rng(seed, "instrument")).astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=class_map,
        class_names=CLASS_NAMES[: preset.n_motifs],
        angle_rad=angle_map,
        symmetry=SYMMETRY[: preset.n_motifs],
        lengths_px=dict(LENGTHS_PX),
        length_px=20.0,  # the first shell, and the width of a column beyond it
        yx_px=found[inside],
        difficulty=difficulty,
    )


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))


def _grains(size_px: int, n_motifs: int, rng: np.random.Generator) -> _Grains:
    """Grains of nearly equal size, motifs of nearly equal area, orientations at random."""
    count = max(3 * n_motifs, round((size_px / LENGTHS_PX["grain_diameter"]) ** 2))
    yx = pixel_places(size_px, step_px=2).reshape(-1, 2)
    centres = rng.uniform(0, size_px, (count, 2))
    for _ in range(6):  # Lloyd's algorithm; until convergence they would be hexagons
        owner = query(centres, yx)[1]
        area = np.maximum(np.bincount(owner, minlength=count), 1)
        centres = np.stack(
            [np.bincount(owner, axis, minlength=count) / area for axis in yx.T], axis=1
        )
    area = np.bincount(query(centres, yx)[1], minlength=count)
    kind = np.zeros(count, dtype=np.int64)
    given = rng.uniform(0, 1, n_motifs)  # whose turn it is first
    for grain in np.argsort(-area, kind="stable"):
        kind[grain] = given.argmin()
        given[kind[grain]] += area[grain]
    return _Grains(centres_px=centres, kind=kind, angle_rad=rng.uniform(0, 2 * np.pi, count))


def _owner(yx_px: Values, centres_px: Values) -> tuple[Labels, Values]:
    """Grain (...) of every place (..., 2), and how far the nearest boundary is [px]."""
    n_near = min(6, len(centres_px))  # the nearest boundary belongs to one of the next centres
    distance, near = query(centres_px, yx_px, n_near=n_near)
    apart = np.linalg.norm(centres_px[near[..., 1:]] - centres_px[near[..., :1]], axis=-1)
    margin = (distance[..., 1:] ** 2 - distance[..., :1] ** 2) / (2 * apart)
    return np.asarray(near[..., 0]), np.asarray(margin.min(axis=-1))


def _columns(
    grains: _Grains,
    size_px: int,
    strain: Strain,
    vacancies: float,
    rng: np.random.Generator,
) -> tuple[Columns, Flags, Values]:
    """All columns, which of them are bright, and where columns are missing (n, 2) [px].

    Missing are vacancies, and what has no room at the boundary of a grain.
    """
    everywhere = pixel_places(size_px, step_px=8, edge_px=16)
    reach = float(query(grains.centres_px, everywhere)[0].max()) + 30  # it will be displaced
    places, heights, owners = [], [], []
    for grain, (kind, angle) in enumerate(zip(grains.kind, grains.angle_rad, strict=True)):
        motif, turn = _MOTIFS[kind], rotation(angle)
        start = grains.centres_px[grain] + rng.uniform(0, 1, 2) @ motif.vectors_px
        sites = lattice_sites(motif.vectors_px @ turn, centre_px=start, reach_px=reach)
        for offset, height in ((np.zeros(2), BRIGHT), (motif.dim_px @ turn, DIM)):
            moved = strain.displaced(sites + offset)
            inside = ((moved > -12) & (moved < size_px + 11)).all(axis=1)
            moved = moved[inside]
            moved = moved[_owner(moved, grains.centres_px)[0] == grain]
            places.append(moved)
            heights.append(np.full(len(moved), height))
            owners.append(np.full(len(moved), grain))
    yx, level, owner = np.concatenate(places), np.concatenate(heights), np.concatenate(owners)

    keep = np.ones(len(yx), dtype=bool)
    for one, other in sorted(cKDTree(yx).query_pairs(5.0)):  # no room for both at a boundary
        if keep[one] and keep[other] and owner[one] != owner[other]:
            keep[one if level[one] < level[other] else other] = False

    there = keep & (rng.uniform(size=len(yx)) >= vacancies)
    uneven = 1 + 0.05 * rng.standard_normal(len(yx))
    columns = Columns(yx_px=yx[there], height=(level * uneven)[there])
    return columns, level[there] == BRIGHT, yx[~there]
