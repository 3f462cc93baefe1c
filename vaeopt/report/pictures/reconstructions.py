"""Patches beside their reconstructions: what is typical of a component, and what went worst."""

from typing import NamedTuple

import numpy as np
import torch

from vaeopt.core.types import Bools, Floats, Ints, Latents, WorkflowRun
from vaeopt.kernels.elbo.fast import entropy_floor
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.pictures.canvas import GREY, SMALL, Canvas, greys, scaled
from vaeopt.report.pictures.words import headed, percent, shares_of
from vaeopt.stages.vae import decode

__all__ = ["PairsInfo", "draw_reconstructions", "excess_nats", "pairs_info"]

_TYPICAL, _WORST = 4, 2
_COMPONENTS = 6  # the largest ones
_TILE = 42  # [px]
_LEFT, _TOP = 116, 74


class PairsInfo(NamedTuple):
    """Rows of patches, one row per component."""

    components: Ints
    """(rows,) -1 for all patches where there is no mixture"""
    share: Floats
    """(rows,) of the patches that are kept"""
    typical: list[Ints]
    """per row: patches whose error is nearest to the median of the core points, ascending"""
    worst: list[Ints]
    """per row: kept patches with the largest errors, largest last"""
    decoded: dict[int, Floats]
    """reconstruction of each of them, in its own pose"""
    rmse: dict[int, float]
    """root of the mean squared difference of its pixels [image range]"""


def excess_nats(run: WorkflowRun) -> Floats:
    """(n_patches,) error of every patch above the least that its grey pixels allow [nats].

    The error itself is large for grey patches, however well they come back.
    """
    config, flat = run.vae.config, run.patches.pixels.reshape(len(run.patches), -1)
    floor = entropy_floor(
        torch.tensor(flat), config["likelihood"], gaussian_sd=config["gaussian_sd"]
    )
    return np.asarray(run.latents.error_nats - floor.double().numpy().reshape(len(flat), -1).sum(1))


def pairs_info(run: WorkflowRun) -> PairsInfo:
    """Choose the patches, and reconstruct them."""
    mixture, excess, shares = run.mixture, excess_nats(run), shares_of(run)
    components, share = shares.components, shares.share
    if not len(components):
        components, share = np.asarray([-1]), np.ones(1)
    largest = np.sort(np.argsort(-share, kind="stable")[:_COMPONENTS])
    components, share = components[largest], share[largest]
    typical: list[Ints] = []
    worst: list[Ints] = []
    for k in components:
        # Without a mixture nothing is kept or left out for a reason.
        own = mixture.kept & (mixture.component == k) if k >= 0 else np.ones(len(excess), bool)
        worst.append(_largest(excess, own, _WORST))
        rest = own.copy()
        rest[worst[-1]] = False  # shown once
        core = rest & mixture.core
        typical.append(_nearest(excess, core if core.sum() >= _TYPICAL else rest, _TYPICAL))
    chosen = np.concatenate([*typical, *worst])
    decoded = decode(run.vae, _rows(run.latents, chosen))
    error = np.sqrt(((decoded - run.patches.pixels[chosen]) ** 2).mean(axis=(1, 2)))
    return PairsInfo(
        components=components,
        share=share,
        typical=typical,
        worst=worst,
        decoded=dict(zip(chosen.tolist(), decoded, strict=True)),
        rmse=dict(zip(chosen.tolist(), error.tolist(), strict=True)),
    )


def _largest(excess: Floats, mask: Bools, most: int) -> Ints:
    there = np.flatnonzero(mask)
    return np.asarray(there[np.argsort(excess[there], kind="stable")][-most:])


def _nearest(excess: Floats, mask: Bools, most: int) -> Ints:
    there = np.flatnonzero(mask)
    if not len(there):
        return there
    far = np.abs(excess[there] - np.median(excess[there]))
    nearest = there[np.argsort(far, kind="stable")[:most]]
    return np.asarray(nearest[np.argsort(excess[nearest], kind="stable")])


def _rows(latents: Latents, chosen: Ints) -> Latents:
    """Only these patches."""
    return Latents(
        z_mean=latents.z_mean[chosen],
        z_std=latents.z_std[chosen],
        codes={name: values[chosen] for name, values in latents.codes.items()},
        code_mean=latents.code_mean[chosen],
        code_std=latents.code_std[chosen],
        error_nats=latents.error_nats[chosen],
        reconstruction=latents.reconstruction,
    )


def draw_reconstructions(run: WorkflowRun) -> Canvas:
    """Each pair: the patch, its reconstruction, and the root mean square error below."""
    info = pairs_info(run)
    edge = scaled(run.patches.pixels[:1], _TILE).shape[-1]
    cell, line = 2 * edge + 14, edge + 30
    gap = 18
    width = _LEFT + (_TYPICAL + _WORST) * cell + gap + 8
    canvas = Canvas(max(width, 420), _TOP + len(info.components) * line + 8)
    headed(canvas, "Patch and reconstruction, with the RMS error (image range 1)", run)
    canvas.text(_LEFT, 52, "typical", size=SMALL, colour=GREY)
    canvas.text(_LEFT + _TYPICAL * cell + gap, 52, "worst", size=SMALL, colour=GREY)
    rows = zip(info.components.tolist(), info.share.tolist(), info.typical, info.worst, strict=True)
    for i, (k, share, typical, worst) in enumerate(rows):
        y = _TOP + i * line
        name = f"component {k}" if k >= 0 else "all patches"
        canvas.rectangle(10, y, 6, edge, component_colour(k) if k >= 0 else INFEASIBLE)
        canvas.text(22, y + edge / 2 - 8, name, size=SMALL, anchor="lm")
        if k >= 0:
            canvas.text(22, y + edge / 2 + 8, percent(share), size=SMALL, anchor="lm", colour=GREY)
        places = [*enumerate(typical.tolist()), *enumerate(worst.tolist(), start=_TYPICAL)]
        for j, patch in places:
            x = _LEFT + j * cell + (gap if j >= _TYPICAL else 0)
            pair = np.stack([run.patches.pixels[patch], info.decoded[patch]])
            seen, made = greys(scaled(pair, _TILE))
            canvas.image(seen, x, y)
            canvas.image(made, x + edge + 2, y)
            text = f"{info.rmse[patch]:.2f}"
            canvas.text(x + edge + 1, y + edge + 3, text, size=SMALL, anchor="mt", colour=GREY)
    return canvas
