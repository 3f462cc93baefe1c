"""What a patch may do without becoming another patch: one invariance per file."""

from vaeopt.stages.vae.invariances.base import Invariance, compose, known, ordered
from vaeopt.stages.vae.invariances.rotation import Rotation
from vaeopt.stages.vae.invariances.scale import Scale
from vaeopt.stages.vae.invariances.translation import Translation

__all__ = ["Invariance", "Rotation", "Scale", "Translation", "compose", "known", "ordered"]
