"""Words and marks that all pictures of a trial share."""

from typing import NamedTuple

import numpy as np

from vaeopt.core.types import Floats, Ints, WorkflowRun
from vaeopt.report.palette import INFEASIBLE, component_colour
from vaeopt.report.pictures.canvas import GREY, INK, SMALL, Canvas

__all__ = ["LEGEND_PX", "Shares", "headed", "legend", "length_text", "shares_of", "trained_words"]

LEGEND_PX = 146
"""width of a legend [px]"""
_MOST = 14  # lines of a legend


class Shares(NamedTuple):
    """How the patches are divided."""

    components: Ints
    """numbers of the components that have patches, ascending"""
    share: Floats
    """of the patches that are kept, by component"""
    filtered: float
    """share of all patches that the density filter left out"""
    failure: str
    """why there are no components"""


def shares_of(run: WorkflowRun) -> Shares:
    """Share of every component among the patches that passed the density filter."""
    mixture = run.mixture
    kept = mixture.component[mixture.kept]
    found, counts = np.unique(kept[kept >= 0], return_counts=True)
    share = counts / max(1, len(kept))
    filtered = 1 - float(mixture.kept.mean()) if len(mixture.kept) else 0.0
    reason = "" if mixture.best is not None else mixture.failure or "no mixture could be fitted"
    return Shares(found, np.asarray(share), filtered, reason)


def percent(share: float) -> str:
    """A share in words.

    >>> percent(0.453), percent(0.002)
    ('45 %', '0.2 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0095 or share == 0 else f"{100 * share:.1g} %"


def length_text(pixels: float, pixel_size_nm: float | None) -> str:
    """A length in pixels, and in nm or \N{MICRO SIGN}m where the size of a pixel is known.

    >>> length_text(13, 7.8125), length_text(13, None), length_text(200, 10.0)
    ('13 px (102 nm)', '13 px', '200 px (2 \N{MICRO SIGN}m)')
    """
    if pixel_size_nm is None:
        return f"{pixels:g} px"
    nm = pixels * pixel_size_nm
    real = f"{nm:.3g} nm" if nm < 1000 else f"{nm / 1000:.3g} \N{MICRO SIGN}m"
    return f"{pixels:g} px ({real})"


def trained_words(run: WorkflowRun) -> str:
    """What was trained, in one line."""
    names = " + ".join(run.vae.config["invariances"]) or "no invariance"
    count = run.latents.latent_dim
    window = length_text(run.vae.window_px, run.micrograph.pixel_size_nm)
    return f"{window}, {names}, {count} latent{'' if count == 1 else 's'}"


def headed(canvas: Canvas, title: str, run: WorkflowRun) -> None:
    """A title, and below it what was trained."""
    canvas.text(12, 8, title, colour=INK)
    canvas.text(12, 26, trained_words(run), size=SMALL, colour=GREY)


def legend(canvas: Canvas, x: int, y: int, shares: Shares, *, core: bool = False) -> None:
    """Colours of the components with their shares, and what grey and rings mean."""
    rows = list(zip(shares.components.tolist(), shares.share.tolist(), strict=True))
    if len(rows) > _MOST:
        rows = sorted(sorted(rows, key=lambda row: -row[1])[: _MOST - 1])
    for k, share in rows:
        canvas.markers(np.asarray([[x + 6, y + 8]]), 5, component_colour(k))
        canvas.text(x + 18, y + 8, f"component {k}", size=SMALL, anchor="lm")
        canvas.text(x + LEGEND_PX - 8, y + 8, percent(share), size=SMALL, anchor="rm", colour=GREY)
        y += 18
    if len(rows) < len(shares.components):
        canvas.text(
            x + 18,
            y + 8,
            f"and {len(shares.components) - len(rows)} more",
            size=SMALL,
            anchor="lm",
            colour=GREY,
        )
        y += 18
    if core and len(rows):
        canvas.markers(
            np.asarray([[x + 6, y + 8]]), 4.5, INK, edge=INK, edge_width=1.0, hollow=True
        )
        canvas.text(x + 18, y + 8, "core points", size=SMALL, anchor="lm")
        y += 18
    if shares.filtered > 0:
        canvas.markers(np.asarray([[x + 6, y + 8]]), 3.5, INFEASIBLE)
        canvas.text(x + 18, y + 8, "filtered", size=SMALL, anchor="lm")
        canvas.text(
            x + LEGEND_PX - 8, y + 8, percent(shares.filtered), size=SMALL, anchor="rm", colour=GREY
        )
