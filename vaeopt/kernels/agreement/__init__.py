"""Agreement of partitions with places, of angles with angles, and second looks at key points."""

from vaeopt.kernels.agreement.poses import draw_angles, draw_shifts, has_room
from vaeopt.kernels.agreement.reference import (
    alike_kappa,
    circular_agreement,
    circular_resultant,
    equal_ring_pairs,
    ring_pairs,
    spatial_kappa,
)

__all__ = [
    "alike_kappa",
    "circular_agreement",
    "circular_resultant",
    "draw_angles",
    "draw_shifts",
    "equal_ring_pairs",
    "has_room",
    "ring_pairs",
    "spatial_kappa",
]
