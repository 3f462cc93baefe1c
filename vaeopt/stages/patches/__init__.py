"""Square windows round key points."""

from vaeopt.stages.patches.cut import PatchSettings, cut

__all__ = ["PatchSettings", "cut"]
