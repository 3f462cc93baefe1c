"""The four building blocks of the rendered domain scans, each drawn over one grain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vaeopt.datasets.fields import direction, maze, smooth_field

__all__ = ["LENGTHS_PX", "PATTERNS", "Pattern", "needles", "walls"]

Plane = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Shape = tuple[int, ...]

LENGTHS_PX: Mapping[str, float] = MappingProxyType(
    {
        "stripe_period": 22.0,
        "stripe_bright": 4.5,  # of full brightness, from the steep wall on
        "stripe_fall": 8.0,  # from there to the dark c domain
        "needle_period": 10.0,
        "herringbone_period": 10.0,  # across the lamellae
        "herringbone_band": 11.5,  # from one row of bends to the next
        "wall_spacing": 25.0,
        "wall_half_width": 1.3,  # of the tanh profile
        "wall_reach": 6.0,  # a place further from any wall than this shows no building block
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pattern:
    """One building block, drawn over the box round a grain, of which the grain is seen."""

    response: Plane
    """signed piezoresponse (height, width); the brightest domains have about 1"""
    angle_rad: Plane
    """of walls: with the up domain, of positive response, in the direction ``angle + pi / 2``"""
    shown: Flags
    """whether the building block is there to be seen at this place"""


def _stripes(grain: Flags, rng: np.random.Generator) -> Pattern:
    """Wide a/c stripes: a steep wall, a bright a domain, and a gentle fall to the next wall."""
    u, angle = _across(grain.shape, rng.uniform(0, 2 * np.pi), rng, wander_px=1.5)
    phase, height = _lamella_jitter(u, LENGTHS_PX["stripe_period"], rng)
    uneven = 1 + 0.10 * height + 0.12 * smooth_field(grain.shape, 12.0, rng)
    past_wall_px = phase * LENGTHS_PX["stripe_period"]
    bright = np.clip(
        1 - (past_wall_px - LENGTHS_PX["stripe_bright"]) / LENGTHS_PX["stripe_fall"], 0, 1
    )
    response = 0.42 + 0.75 * uneven * bright
    return Pattern(response=response, angle_rad=angle, shown=grain)


def needles(grain: Flags, rng: np.random.Generator) -> Pattern:
    """Fine corrugation by needle domains, which taper off here and there."""
    u, angle = _across(grain.shape, rng.uniform(0, np.pi), rng, wander_px=1.2)
    wave = np.cos(2 * np.pi * u / LENGTHS_PX["needle_period"])
    depth = 0.30 * (1 + 0.20 * smooth_field(grain.shape, 8.0, rng))
    return Pattern(response=0.60 + depth * wave, angle_rad=angle, shown=grain)


def _herringbone(grain: Flags, rng: np.random.Generator) -> Pattern:
    """Two lamella variants at right angles that meet in rows of bends; the angle is the rows'."""
    spine_rad = rng.uniform(0, np.pi)
    u, angle = _across(grain.shape, spine_rad, rng, wander_px=1.5)
    along, _ = _across(grain.shape, spine_rad - np.pi / 2, rng, wander_px=1.5)
    band = LENGTHS_PX["herringbone_band"]
    fold = np.abs(np.mod(u, 2 * band) - band)  # rises and falls: 45 degrees one way, then the other
    lamellae = np.cos(2 * np.pi * (along + fold) / (np.sqrt(2) * LENGTHS_PX["herringbone_period"]))
    variant = np.where(np.mod(u, 2 * band) < band, 1, -1)
    depth = 0.28 * (1 + 0.2 * smooth_field(grain.shape, 8.0, rng))
    response = 0.58 + depth * np.tanh(1.4 * lamellae) + 0.05 * variant
    return Pattern(response=response, angle_rad=angle, shown=grain)


def walls(grain: Flags, rng: np.random.Generator) -> Pattern:
    """Curved 180-degree walls of a maze of up and down domains."""
    domains = maze(grain.shape, LENGTHS_PX["wall_spacing"], rng)
    slope = np.hypot(*np.gradient(domains))
    wall = grain & (np.abs(domains) < 0.71 * slope)  # within a pixel, also where it runs diagonally
    plain = 0.80 * (1 + 0.07 * smooth_field(grain.shape, 12.0, rng))
    if not wall.any():  # a grain that is one domain
        nothing = np.zeros_like(grain)
        return Pattern(response=plain * np.sign(domains), angle_rad=0 * domains, shown=nothing)

    away_px = domains / np.maximum(slope, 0.3 * float(np.median(slope[wall])))
    response = plain * np.tanh(away_px / LENGTHS_PX["wall_half_width"])
    distance, (row, column) = ndimage.distance_transform_edt(~wall, return_indices=True)
    return Pattern(
        response=response,
        angle_rad=direction(domains)[row, column],
        shown=distance <= LENGTHS_PX["wall_reach"],
    )


def _across(
    shape: Shape, angle_rad: float, rng: np.random.Generator, *, wander_px: float
) -> tuple[Plane, Plane]:
    """Coordinate across straight walls at ``angle_rad`` that wander a little [px].

    Returns:
        The coordinate, growing in the direction ``angle + pi / 2``, and the true angle per pixel.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    u = y * np.cos(angle_rad) - x * np.sin(angle_rad) + rng.uniform(0, 100)
    u += wander_px * smooth_field(shape, 22.0, rng)
    return u, direction(u)


def _lamella_jitter(u: Plane, period_px: float, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Phase in [0, 1) within each lamella, and a standard normal that is constant along it."""
    turns = u / period_px
    number = np.floor(turns).astype(int)
    per_lamella = rng.standard_normal(np.ptp(number) + 1)
    return turns - number, per_lamella[number - number.min()]


PATTERNS: Mapping[str, Callable[[Flags, np.random.Generator], Pattern]] = MappingProxyType(
    {
        "ac-stripes": _stripes,
        "needles": needles,
        "herringbone": _herringbone,
        "180-walls": walls,
    }
)
"""functions that draw a building block over a grain, given as flags (height, width) of its box"""
