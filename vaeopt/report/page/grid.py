"""Latents of the best trial for every window and invariance (figure 2 of the paper)."""

from collections.abc import Mapping
from typing import NamedTuple

import optuna
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from vaeopt.report.page.markup import escape
from vaeopt.report.page.words import human
from vaeopt.report.thumbnail import HEIGHT_PX, WIDTH_PX, Picture
from vaeopt.study.fronts.pareto import by_compromise, representatives
from vaeopt.study.results.access import metric_names
from vaeopt.study.results.records import settings_of

__all__ = ["GridCell", "GridInfo", "draw_grid", "grid_frame", "grid_html", "grid_info"]

_GREY = (241, 243, 245)
_INK = (33, 37, 41)
_LEFT_PX, _TOP_PX, _BELOW_PX, _GAP_PX = 210, 50, 60, 12


class GridCell(NamedTuple):
    """All trials with one window and one set of invariances."""

    trials: int
    """finished ones; 0 where nothing was tried"""
    best: int | None
    """number of the best feasible one; None if all collapsed"""
    values: tuple[float, ...]
    """of the best one, by objective"""
    components: int | None


class GridInfo(NamedTuple):
    """Rows are sets of invariances, columns windows."""

    names: list[str]
    """of the objectives"""
    windows_px: list[int]
    invariances: list[str]
    cells: Mapping[tuple[str, int], GridCell]
    pixel_size_nm: float | None


def grid_info(study: optuna.Study, pixel_size_nm: float | None) -> GridInfo:
    """The best trial of every cell: by value, or by the compromise of several objectives."""
    order = {trial.number: place for place, trial in enumerate(by_compromise(study))}
    groups: dict[tuple[str, int], list[optuna.trial.FrozenTrial]] = {}
    for trial in representatives(study):
        settings = settings_of(trial)
        row = " + ".join(str(name) for name in settings.vae.invariances) or "none"
        groups.setdefault((row, settings.patches.size_px), []).append(trial)
    cells = {}
    for key, trials in groups.items():
        good = [trial for trial in trials if trial.number in order]
        best = min(good, key=lambda trial: order[trial.number], default=None)
        fitted = {} if best is None else best.user_attrs.get("vaeopt:primitives", {})
        cells[key] = GridCell(
            trials=len(trials),
            best=None if best is None else best.number,
            values=() if best is None else tuple(best.values),
            components=fitted.get("mixture", {}).get("n_components"),
        )
    return GridInfo(
        names=metric_names(study),
        windows_px=sorted({window for _, window in groups}),
        invariances=sorted({row for row, _ in groups}, key=lambda row: (row.count("+"), row)),
        cells=cells,
        pixel_size_nm=pixel_size_nm,
    )


def grid_frame(info: GridInfo) -> pd.DataFrame:
    """One row per cell."""
    rows = []
    for row in info.invariances:
        for window in info.windows_px:
            held = info.cells.get((row, window), GridCell(0, None, (), None))
            values = held.values or (None,) * len(info.names)
            nm = None if info.pixel_size_nm is None else window * info.pixel_size_nm
            rows.append(
                {
                    "invariances": row,
                    "window_px": window,
                    "window_nm": nm,
                    "trials": held.trials,
                    "trial": held.best,
                    **dict(zip(info.names, values, strict=True)),
                    "components": held.components,
                }
            )
    frame = pd.DataFrame(rows)
    return frame.astype({"trial": "Int64", "components": "Int64"}) if rows else frame


def _window(info: GridInfo, window: int) -> str:
    nm = "" if info.pixel_size_nm is None else f" ({window * info.pixel_size_nm:.3g} nm)"
    return f"{window} px{nm}"


def _empty(held: GridCell | None) -> str:
    if held is None or held.trials == 0:
        return "not tried"
    return "collapsed" if held.trials == 1 else f"all {held.trials} collapsed"


def _lines(info: GridInfo, held: GridCell) -> list[str]:
    values = zip(info.names, held.values, strict=True)
    shown = [f"{name} {human(value)}" for name, value in values]
    if held.components is not None:
        shown.append(f"{held.components} component{'' if held.components == 1 else 's'}")
    return shown


def grid_html(info: GridInfo, pictures: Mapping[int, Picture]) -> str:
    """A table of small pictures, which the script of the page fills in."""
    head = "".join(f"<th scope='col'>{escape(_window(info, w))}</th>" for w in info.windows_px)
    body = []
    for row in info.invariances:
        cells = "".join(
            _td(info, info.cells.get((row, window)), f"{row}, {window} px", pictures)
            for window in info.windows_px
        )
        body.append(f"<tr><th scope='row'>{escape(row)}</th>{cells}</tr>")
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Latents by window and "
        "invariance'><table class='grid'><thead><tr><td></td>"
        f"{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _td(info: GridInfo, held: GridCell | None, where: str, pictures: Mapping[int, Picture]) -> str:
    if held is None or held.best is None:
        return f"<td class='none'>{_empty(held)}</td>"
    lines = _lines(info, held)
    alt = f"Latents of trial {held.best} ({where}): {', '.join(lines)}"
    picture = (
        f"<img data-picture='{held.best}' alt='{escape(alt)}' width='{WIDTH_PX // 2}' "
        f"height='{HEIGHT_PX // 2}'>"
        if held.best in pictures
        else "<span class='none'>no picture: files missing</span>"
    )
    small = "".join(f"<span>{escape(line)}</span>" for line in [f"trial {held.best}", *lines])
    return (
        f"<td><button type='button' data-trial='{held.best}'>{picture}<small>{small}</small>"
        "</button></td>"
    )


def draw_grid(info: GridInfo, pictures: Mapping[int, Picture]) -> Image.Image:
    """The same as one picture."""
    wide, high = WIDTH_PX + _GAP_PX, HEIGHT_PX + _BELOW_PX + _GAP_PX
    size = (
        _LEFT_PX + wide * len(info.windows_px),
        _TOP_PX + high * len(info.invariances),
    )
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(20), ImageFont.load_default(16)
    for j, window in enumerate(info.windows_px):
        middle = _LEFT_PX + j * wide + WIDTH_PX // 2
        pen.text((middle, _TOP_PX // 2), _window(info, window), _INK, large, anchor="mm")
    for i, row in enumerate(info.invariances):
        top = _TOP_PX + i * high
        label = row.replace(" + ", " +\n")
        pen.text((12, top + HEIGHT_PX // 2), label, _INK, large, anchor="lm")
        for j, window in enumerate(info.windows_px):
            left = _LEFT_PX + j * wide
            held = info.cells.get((row, window))
            box = (left, top, left + WIDTH_PX, top + HEIGHT_PX)
            picture = pictures.get(held.best) if held and held.best is not None else None
            if picture is None:
                pen.rectangle(box, fill=_GREY)
                text = "no picture" if held and held.best is not None else _empty(held)
                centre = (left + WIDTH_PX // 2, top + HEIGHT_PX // 2)
                pen.text(centre, text, _INK, small, anchor="mm")
            else:
                image.paste(Image.fromarray(picture.rgb), box)
                pen.rectangle(box, outline=_GREY)
            if held and held.best is not None:
                lines = [f"trial {held.best}", *_lines(info, held)]
                halves = (", ".join(lines[:2]), ", ".join(lines[2:]))
                below = (left + 2, top + HEIGHT_PX + 4)
                pen.multiline_text(below, "\n".join(halves), _INK, small, spacing=3)
    return image
