"""Choose a channel, check it, clip it and map it to [0, 1]: once, for all trials of a study."""

import hashlib
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, field_validator, model_validator

from vaeopt import datasets
from vaeopt.core.errors import DataError, Mistake, SettingsError
from vaeopt.core.settings import Settings, Tuple, nearest
from vaeopt.core.types import Floats, Micrograph
from vaeopt.stages.micrograph.readers import RawScan, read

__all__ = ["ImageSettings", "load"]

_SMALLEST_IMAGE_PX = 8


class ImageSettings(Settings):
    """Which image, which channel and how grey values are scaled."""

    path: str | None = None
    """image file, relative to the study file; give this or dataset"""
    dataset: str | None = None
    """name of a rendered or a published image; give this or path"""
    seed: Annotated[int, Field(ge=0)] = 0
    """seed of a rendered data set"""
    difficulty: str | None = None
    """preset of a rendered data set; left out, it is medium"""
    channel: str | None = None
    """name of the channel; may be left out where there is only one"""
    clip_percentiles: Annotated[tuple[float, float], Tuple] = (1.0, 95.0)
    """grey values below and above these percentiles are cut [%]"""
    pixel_size_nm: PositiveFloat | None = None
    """edge of a pixel [nm], where the file does not say or says it wrong"""

    @field_validator("clip_percentiles")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not 0 <= low < high <= 100:
            raise ValueError("expected two rising percentiles between 0 and 100")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "ImageSettings":
        if (self.path is None) == (self.dataset is None):
            known = ", ".join([*datasets.RENDERED, *datasets.NAMED_SCANS])
            raise ValueError(f"give either path or dataset (known data sets: {known})")
        return self

    @model_validator(mode="after")
    def _known_difficulty(self) -> "ImageSettings":
        if self.difficulty is None:
            return self
        if self.dataset not in datasets.RENDERED:
            if self.dataset is None or self.dataset in datasets.NAMED_SCANS:
                text = "only rendered data sets have presets; leave it out"
                raise SettingsError([Mistake(("difficulty",), text)])
            return self  # an unknown name, which loading refuses
        known = datasets.difficulties(self.dataset)
        if self.difficulty not in known:
            hint = nearest(self.difficulty, known)
            text = f"{self.dataset!r} has no preset {self.difficulty!r}; {hint}"
            raise SettingsError([Mistake(("difficulty",), text)])
        return self


def load(settings: ImageSettings, *, folder: Path) -> Micrograph:
    """Load and scale the image that the settings name.

    Args:
        settings: what to load.
        folder: where relative paths start (the folder of the study file).

    Raises:
        DataError: a missing or unreadable file, an unknown channel or data set, NaN or
            infinite pixels, a constant image.
    """
    source = _source(settings, folder)
    channel = _pick_channel(source.scan, settings.channel or source.channel)
    raw = np.asarray(source.scan.channels[channel], dtype=np.float64)
    _check(raw, channel)
    low, high = (float(v) for v in np.percentile(raw, settings.clip_percentiles))
    if not high > low:
        raise DataError(
            f"channel {channel!r} is constant between its percentiles "
            f"{settings.clip_percentiles[0]:g} and {settings.clip_percentiles[1]:g}",
            setting="image.clip_percentiles",
            remedy="widen the percentiles or choose another channel",
        )
    pixels = np.clip((raw - low) / (high - low), 0.0, 1.0).astype(np.float32)
    pixels.setflags(write=False)
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return Micrograph(
        name=source.name,
        pixels=pixels,
        pixel_size_nm=settings.pixel_size_nm or source.scan.pixel_size_nm,
        sha256=digest.hexdigest(),
        scaling=(low, high),
        yx_px=source.yx_px,
    )


class _Source(NamedTuple):
    """What the settings point at."""

    name: str
    scan: RawScan
    channel: str | None = None
    """that shows the building blocks, where that is known"""
    yx_px: Floats | None = None
    """places that come with it"""


def _source(settings: ImageSettings, folder: Path) -> _Source:
    if settings.path is not None:
        path = folder / Path(settings.path).expanduser()
        return _Source(path.stem, read(path))
    assert settings.dataset is not None  # one of the two is given: see ImageSettings
    if settings.dataset in datasets.RENDERED:
        rendered = datasets.render(
            settings.dataset, seed=settings.seed, difficulty=settings.difficulty or "medium"
        )
        scan = RawScan(
            channels={"amplitude": rendered.pixels}, pixel_size_nm=rendered.pixel_size_nm
        )
        return _Source(rendered.name, scan, "amplitude", rendered.yx_px)
    if settings.dataset not in datasets.NAMED_SCANS:
        known = [*datasets.RENDERED, *datasets.NAMED_SCANS]
        raise DataError(
            f"unknown data set {settings.dataset!r}; {nearest(settings.dataset, known)}",
            setting="image.dataset",
        )
    named = datasets.NAMED_SCANS[settings.dataset]
    return _Source(settings.dataset, read(datasets.fetch(settings.dataset)), named.channel)


def _pick_channel(scan: RawScan, wanted: str | None) -> str:
    """The channel called ``wanted``; case and Asylum's trace suffix may be left out."""
    names = list(scan.channels)
    if wanted is None:
        if len(names) == 1:
            return names[0]
        raise DataError(
            f"the image has {len(names)} channels",
            setting="image.channel",
            remedy=f"name one of: {', '.join(names)}",
        )
    if wanted in names:
        return wanted
    short = {_short(name): name for name in reversed(names)}  # the first of two wins
    if _short(wanted) in short:
        return short[_short(wanted)]
    raise DataError(
        f"no channel {wanted!r}; {nearest(wanted, names)}",
        setting="image.channel",
        remedy="choose one of the known channels",
    )


def _short(name: str) -> str:
    return name.lower().removesuffix("retrace").removesuffix("trace")


def _check(raw: Floats, channel: str) -> None:
    """Refuse images that no setting further down could save."""
    if min(raw.shape) < _SMALLEST_IMAGE_PX:
        raise DataError(
            f"the image is {raw.shape[0]} x {raw.shape[1]} px, smaller than "
            f"{_SMALLEST_IMAGE_PX} x {_SMALLEST_IMAGE_PX}",
            setting="image",
            remedy="use a larger image",
        )
    bad = int(np.count_nonzero(~np.isfinite(raw)))
    if bad:
        raise DataError(
            f"{bad} of {raw.size} pixels of channel {channel!r} are NaN or infinite",
            setting="image",
            remedy="crop them away or fill them in before the study",
        )
    if raw.min() == raw.max():
        raise DataError(
            f"channel {channel!r} is constant ({raw.flat[0]:g} everywhere)",
            setting="image.channel",
            remedy="choose a channel that shows something",
        )
