"""Cut one window per key point."""

from typing import Annotated

import numpy as np
from pydantic import Field

from vaeopt.core.settings import Settings
from vaeopt.core.types import KeyPoints, Micrograph, Patches
from vaeopt.kernels.crop import crop

__all__ = ["PatchSettings", "cut"]


class PatchSettings(Settings):
    """The window."""

    size_px: Annotated[int, Field(ge=3, le=512)] = 13
    """edge of the window [px]; 13 is 13 x 13, centred on the key point"""


def cut(settings: PatchSettings, micrograph: Micrograph, keypoints: KeyPoints) -> Patches:
    """One patch per key point, in the order of the key points."""
    return Patches(
        pixels=crop(micrograph.pixels, keypoints.yx_px, settings.size_px),
        keypoint_index=np.arange(len(keypoints)),
    )
