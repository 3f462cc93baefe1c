"""Square windows round key points."""

from vaeopt.stages.patches.cut import PatchSettings, cut
from vaeopt.stages.patches.recut import recut

__all__ = ["PatchSettings", "cut", "recut"]
