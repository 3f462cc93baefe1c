"""A negative control: noise without anything in it, so one building block."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from vaeopt.core.seeds import derive
from vaeopt.datasets.arguments import check_preset, check_ranges
from vaeopt.datasets.fields import smooth_field
from vaeopt.datasets.instrument import measure
from vaeopt.datasets.places import steep_places
from vaeopt.datasets.rendered import RenderedScan

__all__ = ["NAME", "PRESETS", "SMALLEST_PX", "NoisePreset", "render_noise"]

NAME = "noise"
PIXEL_SIZE_NM = 2000 / 256
SMALLEST_PX = 64

_WINDOW_PX = 12.0  # no window is right; about that of the domain scans, for grids to start from
_LEVEL = 0.5  # of the amplitude
_SPREAD = 0.1  # of the noise about it


@dataclass(frozen=True, kw_only=True)
class NoisePreset:
    """One noise; a harder one has more of what looks like shapes."""

    correlation_px: float
    """standard deviation of the Gaussian that smooths white noise; 0 leaves it white"""
    line_noise: float = 0.0
    """white noise on top, and with it offsets from line to line; the level is 0.5"""


PRESETS: Mapping[str, NoisePreset] = MappingProxyType(
    {
        "easy": NoisePreset(correlation_px=0.0),
        "medium": NoisePreset(correlation_px=1.5),
        "hard": NoisePreset(correlation_px=3.0, line_noise=0.06),
    }
)
"""difficulties by name"""


def render_noise(*, seed: int = 0, difficulty: str = "medium", size_px: int = 256) -> RenderedScan:
    """Render one field of noise.

    Args:
        seed: 0 or more; the same seed gives the same scan bit for bit.
        difficulty: a key of ``PRESETS``.
        size_px: edge of the square image [px], 64 or more.

    Returns:
        The scan: one class, everywhere, without an angle (0, and symmetry 0).

    Raises:
        DataError: an argument out of its range.

    >>> scan = render_noise(seed=1, size_px=64)
    >>> scan.class_names, scan.symmetry
    (('noise',), (0,))
    """
    check_preset(difficulty, PRESETS)
    check_ranges(seed=seed, size_px=size_px, smallest_px=SMALLEST_PX)
    preset, shape = PRESETS[difficulty], (size_px, size_px)
    rng = _rng(seed, "field")
    if preset.correlation_px:
        field = smooth_field(shape, preset.correlation_px, rng)
    else:
        field = rng.standard_normal(shape)
    pixels = measure(
        _LEVEL + _SPREAD * field,
        noise=preset.line_noise,
        blur_px=0.0,
        rng=_rng(seed, "instrument"),
    )
    return RenderedScan(
        name=NAME,
        pixels=pixels.astype(np.float32),
        pixel_size_nm=PIXEL_SIZE_NM,
        class_map=np.zeros(shape, dtype=np.int16),
        class_names=("noise",),
        angle_rad=np.zeros(shape, dtype=np.float32),
        symmetry=(0,),
        lengths_px={"correlation": preset.correlation_px},
        length_px=_WINDOW_PX,
        yx_px=steep_places(pixels, sigma_px=1.5, spacing_px=7.5),
        difficulty=difficulty,
    )


def _rng(seed: int, *key: int | str) -> np.random.Generator:
    """A generator per purpose, so that one more draw in one place changes nothing elsewhere."""
    return np.random.default_rng(derive(seed, NAME, *key))
