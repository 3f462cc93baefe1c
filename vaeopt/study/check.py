"""A study checked to the last shape, without training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from vaeopt.core.errors import DataError
from vaeopt.stages.patches import cut
from vaeopt.stages.vae.model import build
from vaeopt.study.file import StudyFile
from vaeopt.study.session import Session, prepare
from vaeopt.workflow import device_settings, expect_devices

__all__ = ["check", "facts"]


def check(file: StudyFile) -> Iterator[str]:
    """Load, detect, cut and build at the ends of the search space; yields what was found.

    Raises:
        VaeoptError: whatever would make a trial fail.
    """
    session = prepare(file)
    image, space = session.micrograph, session.space
    height, width = image.pixels.shape
    size = "" if image.pixel_size_nm is None else f", {image.pixel_size_nm:.4g} nm per pixel"
    yield f"image       {image.name}: {height} x {width} px{size}"
    room = session.comparison.largest_window_px
    yield f"key points  {len(session.keypoints)}, with room for {room} px"
    yield f"mixture     fitted to {session.comparison.n_fit} points in every trial"
    yield f"device      {_devices(session)}"
    yield from _shapes(session)
    count = space.n_points
    yield f"search      {len(space.entries)} settings, {count or 'infinitely many'} points"
    for name, entry in space.distributions.items():
        yield f"            {name}: {entry}"
    yield f"rewards     {_rewards(session)}"
    for warning in (*space.warnings(), *session.warnings):
        yield f"warning     {warning}"
    yield f"study {file.settings.name!r} is fine"


def facts(file: StudyFile) -> dict[str, Any]:
    """What :func:`check` finds, as plain values; it builds every model, too.

    Raises:
        VaeoptError: whatever would make a trial fail.
    """
    session = prepare(file)
    models = [line.removeprefix("model").strip() for line in _shapes(session)]
    image, space = session.micrograph, session.space
    return {
        "study": file.settings.name,
        "image": {
            "name": image.name,
            "height_px": image.pixels.shape[0],
            "width_px": image.pixels.shape[1],
            "pixel_size_nm": image.pixel_size_nm,
            "sha256": image.sha256,
        },
        "n_keypoints": len(session.keypoints),
        "largest_window_px": session.comparison.largest_window_px,
        "n_fit": session.comparison.n_fit,
        "device": _devices(session),
        "models": models,
        "search": {path: entry.to_table() for path, entry in file.settings.search.items()},
        "points": space.n_points or None,
        "rewards": {r.label: r.direction for r in file.settings.workflow.rewards},
        "warnings": [*space.warnings(), *session.warnings],
    }


def _devices(session: Session) -> str:
    """Where training runs, and each other stage that is sent elsewhere by name."""
    workflow = session.file.settings.workflow
    found, wishes = expect_devices(workflow), device_settings(workflow)
    trains = found.pop("vae.device")
    others = [
        f"{path.removesuffix('.device')} on {device}"
        for path, device in found.items()
        if device != trains and wishes[path] != "auto"
    ]
    return ", ".join([str(trains), *others])


def _rewards(session: Session) -> str:
    rewards = session.file.settings.workflow.rewards
    return ", ".join(f"{reward.label} ({reward.direction})" for reward in rewards)


def _shapes(session: Session) -> Iterator[str]:
    """One forward pass of two patches at every combination of extreme windows and models."""
    seen: set[str] = set()
    for at_window in session.space.corners("patches."):
        patches = cut(at_window.patches, session.micrograph, session.keypoints)
        pixels = torch.from_numpy(patches.pixels[:2].reshape(min(2, len(patches)), -1).copy())
        if not np.isfinite(patches.pixels).all():
            raise DataError("patches hold NaN", setting="image")
        for at_model in session.space.corners("vae."):
            model = build(at_model.vae, patches.size_px, seed=0)
            latents = at_model.vae.n_codes + at_model.vae.latent_dim
            noise = torch.zeros(len(pixels), latents)
            with torch.no_grad():
                model.loss(pixels, noise)
            weights = sum(p.numel() for p in model.parameters())
            kind = "+".join(at_model.vae.invariances) or "none"
            line = (
                f"model       {patches.size_px} px, {kind}, {at_model.vae.latent_dim} latents: "
                f"{weights} weights"
            )
            if line not in seen:
                seen.add(line)
                yield line
