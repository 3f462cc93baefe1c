"""A rendered STEM frame of one crystal with point defects mixed at random, with known truth.

A honeycomb of bright and dim columns, as boron nitride seen from above. Round a bright column there
are three dim ones and, between them, three hollows. A dim column may be missing (vacancy) or be a
heavy atom (dopant), or one of the hollows may hold a heavy column (adatom): which of the three is
drawn at random, so that turns by 120 degrees are a nuisance. Which defect comes next is drawn at
random, too: neighbours tell nothing, and a score that asks them learns nothing.

========== ==== ======== ======= ========== ======
difficulty dose probe px line px background strain
========== ==== ======== ======= ========== ======
easy       100  1.6      0       0.02       0.003
medium     20   2.0      0.25    0.04       0.01
hard       8    2.2      0.4     0.08       0.02
========== ==== ======== ======= ========== ======

``dose`` is in electrons per pixel of intensity 1, ``line`` the shift of lines of the scan,
``background`` how uneven the frame is lit, ``strain`` the root mean square of a component of the
displacement gradient.
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
    "render_defects",
]

NAME = "defects"
CLASS_NAMES = ("pristine", "vacancy", "dopant", "adatom")
SYMMETRY = (3, 1, 1, 1)
PRISTINE, VACANCY, DOPANT, ADATOM = range(4)

LATTICE_PX = 11.0
BOND_PX = LATTICE_PX / np.sqrt(3)

LENGTHS_PX = MappingProxyType(
    {
        "lattice_constant": LATTICE_PX,
        "bond": BOND_PX,  # from a bright column to its dim neighbours and to its hollows
        "key_point_spacing": 2 * LATTICE_PX,
        "reach": 2 * LATTICE_PX - BOND_PX,  # no other defect is nearer to a key point
        "column_radius": 3.0,  # a place further from any bright column has no class
    }
)
PIXEL_SIZE_NM = 0.25 / LATTICE_PX
SMALLEST_PX = 160  # below this a class has less than ten key points

# Heights of columns: heavy defects in a light crystal, so that a patch is turned by its defect more
# than by the crystal, which looks nearly the same after a sixth of a turn.
BRIGHT, DIM, HEAVY_DOPANT, HEAVY_ADATOM = 0.7, 0.5, 1.4, 1.0

_EDGE_PX = 14.0  # windows up to twice that fit into the frame

Values = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How difficult a frame is."""

    frame: Frame
    strain: float


PRESETS = MappingProxyType(
    {
        "easy": Preset(
            frame=Frame(dose=100, probe_px=1.6, line_shift_px=0.0, background=0.02), strain=0.003
        ),
        "medium": Preset(
            frame=Frame(dose=20, probe_px=2.0, line_shift_px=0.25, background=0.04), strain=0.01
        ),
        "hard": Preset(
            frame=Frame(dose=8, probe_px=2.2, line_shift_px=0.4, background=0.08), strain=0.02
        ),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Crystal:
    """Places of the crystal before it is strained."""

    bright_px: Values
    """(n, 2)"""
    dim_px: Values
    """(n, 2) dim column of every cell"""
    angle_rad: float
    """from a bright column to a dim one, in [0, 2 pi / 3)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Defects:
    """One entry per defect."""

    host: Labels
    """(n,) index of the bright column that is its key point"""
    kind: Labels
    """(n,) class"""
    yx_px: Values
    """(n, 2) where it is, before strain"""


def render_defects(
    *, seed: int = 0, difficulty: str = "medium", size_px: int = 640, dose: float | None = None
) -> RenderedScan:
    """Render one frame; the truth depends on ``seed``, ``size_px`` and strain only.

    Key points are bright columns, found to within half a pixel: one next to every defect, and
    as many pristine ones as there are defects of a kind, so far apart that a window up to twice
    ``lengths_px["reach"] / sqrt(2)`` holds no other defect. Bright columns that are no key points
    have their class, too: a defect belongs to all three bright columns round it. The angle is that
    from the bright column to its defect, or to a dim column if there is none.

    Args:
        seed: 0 or more; the same seed gives the same frame bit for bit.
        difficulty: ``"easy"``, ``"medium"`` or ``"hard"``, see the top of this module.
        size_px: edge of the square frame [px], 160 or more. The lattice keeps its size in pixels.
        dose: electrons per pixel of intensity 1, in place of that of the preset; infinite: no shot
            noise.

    Returns:
        The frame, with ``class_map`` -1 away from bright columns, and at those that have a defect
        in reach that is not next to them, or two.

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_defects(seed=1, size_px=160)
    >>> scan.pixels.shape, scan.class_names[1], scan.symmetry
    ((160, 160), 'vacancy', (3, 1, 1, 1))
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
    strain = Strain(_rng(seed, "strain"), preset.strain)
    crystal = _crystal(size_px, _rng(seed, "crystal"))
    hosts = _key_points(crystal.bright_px, strain, size_px, _rng(seed, "key points"))
    defects = _defects(crystal, hosts, _rng(seed, "defects"))
    columns = _columns(crystal, defects, strain, _rng(seed, "heights"))
    kind, angle = _truth(crystal, defects, strain)

    bright = strain.displaced(crystal.bright_px)
    yx = pixel_places(size_px)
    away_px, nearest = query(bright, yx)
    class_map = np.where(away_px <= LENGTHS_PX["column_radius"], kind[nearest], AMBIGUOUS)
    angle_map = np.where(class_map == AMBIGUOUS, np.nan, angle[nearest])
    return RenderedScan(
        name=NAME,
        pixels=expose(columns, size_px, frame, _rng(seed, "instrument")).astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=class_map.astype(np.int16),
        class_names=CLASS_NAMES,
        angle_rad=angle_map.astype(np.float32),
        symmetry=SYMMETRY,
        lengths_px=dict(LENGTHS_PX),
        length_px=17.0,  # what is next to a bright column, and the width of a column beyond it
        yx_px=as_found(bright[hosts], _rng(seed, "detector")),
        difficulty=difficulty,
    )


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))


def _crystal(size_px: int, rng: np.random.Generator) -> _Crystal:
    """The perfect crystal, large enough for the frame and its surroundings."""
    angle = float(rng.uniform(0, 2 * np.pi / 3))
    turn = rotation(angle)
    cell = LATTICE_PX * np.array([[0.5, np.sqrt(3) / 2], [-0.5, np.sqrt(3) / 2]])
    middle = size_px / 2 + rng.uniform(0, LATTICE_PX, 2)
    bright = lattice_sites(cell @ turn, centre_px=middle, reach_px=0.75 * size_px + 40)
    return _Crystal(
        bright_px=bright, dim_px=bright + np.array([0.0, BOND_PX]) @ turn, angle_rad=angle
    )


def _key_points(
    bright_px: Values, strain: Strain, size_px: int, rng: np.random.Generator
) -> Labels:
    """Bright columns drawn one after another wherever there is still room; (n,) indices.

    As many as there is room for, less what would make one class larger than another.
    """
    place = strain.displaced(bright_px)
    fits = np.all((place >= _EDGE_PX) & (place <= size_px - 1 - _EDGE_PX), axis=1)
    close = cKDTree(bright_px).query_ball_point(bright_px, LENGTHS_PX["key_point_spacing"] * 0.999)
    free, drawn = np.array(fits), []
    for host in rng.permutation(np.flatnonzero(fits)):
        if free[host]:
            drawn.append(host)
            free[close[host]] = False
    return np.array(drawn[: len(drawn) // len(CLASS_NAMES) * len(CLASS_NAMES)])


def _defects(crystal: _Crystal, hosts: Labels, rng: np.random.Generator) -> _Defects:
    """A class for every key point, equally many of each, and where its defect is."""
    kind = rng.permutation(np.arange(len(hosts)) % len(CLASS_NAMES))
    third = rng.integers(3, size=len(hosts))
    hollow = kind == ADATOM  # opposite to a dim column
    angle = crystal.angle_rad + 2 * np.pi / 3 * third + np.pi * hollow
    place = crystal.bright_px[hosts] + BOND_PX * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    there = kind != PRISTINE
    return _Defects(host=hosts[there], kind=kind[there], yx_px=place[there])


def _columns(
    crystal: _Crystal, defects: _Defects, strain: Strain, rng: np.random.Generator
) -> Columns:
    """All columns of the strained crystal with its defects."""
    replaced = defects.kind != ADATOM
    missing = query(crystal.dim_px, defects.yx_px[replaced])[1]
    dim = np.delete(crystal.dim_px, missing, axis=0)
    dopants = defects.yx_px[defects.kind == DOPANT]
    adatoms = defects.yx_px[defects.kind == ADATOM]
    groups = (
        (crystal.bright_px, BRIGHT),
        (dim, DIM),
        (dopants, HEAVY_DOPANT),
        (adatoms, HEAVY_ADATOM),
    )
    level = np.concatenate([np.full(len(place), height) for place, height in groups])
    return Columns(
        yx_px=strain.displaced(np.concatenate([place for place, _ in groups])),
        height=level * (1 + 0.05 * rng.standard_normal(len(level))),
    )


def _truth(crystal: _Crystal, defects: _Defects, strain: Strain) -> tuple[Labels, Values]:
    """Class and angle [rad] of every bright column, (n,) each; angles in float32."""
    away_px, nearest = query(defects.yx_px, crystal.bright_px, n_near=2)
    n_seen = (away_px < LENGTHS_PX["reach"] * 0.999).sum(axis=1)
    nearest, beside = nearest[:, 0], (away_px[:, 0] < BOND_PX * 1.001) & (n_seen == 1)
    kind = np.where(n_seen == 0, PRISTINE, AMBIGUOUS)
    kind[beside] = defects.kind[nearest[beside]]

    down, right = (defects.yx_px[nearest] - crystal.bright_px).T
    angle = np.where(beside, np.arctan2(down, right), crystal.angle_rad)
    angle += strain.turn(crystal.bright_px)
    for index, order in enumerate(SYMMETRY):
        angle[kind == index] = wrapped(angle[kind == index], order)
    return kind, angle
