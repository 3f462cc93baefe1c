"""Pieces of HTML; everything that comes from outside is escaped here."""

import html
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from vaeopt.report.page.words import human

__all__ = ["anchor", "cell", "data_block", "definitions", "details", "escape", "section", "table"]

_LONG = 15  # rows of a table that gets a bar of its own to scroll
_TEXT = 40  # characters of a cell that is broken into lines


def escape(text: object) -> str:
    """Text for an element or an attribute."""
    return html.escape(str(text), quote=True)


def anchor(text: str) -> str:
    """A name that can stand behind ``#``.

    >>> anchor("Against the window (px)")
    'against-the-window-px'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def cell(value: Any) -> str:
    """A value as people read it; nothing for what is not known.

    >>> cell(0.123456), cell(float("nan")), cell(None), cell(True), cell(7)
    ('0.1235', '', '', 'yes', '7')
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if isinstance(value, int | float) or hasattr(value, "dtype"):
        return human(float(value))
    return str(value)


def section(title: str, body: str) -> str:
    """A part of the page with a heading that can be linked to."""
    return f"<section id='{anchor(title)}'><h2>{escape(title)}</h2>{body}</section>"


def details(title: str, body: str) -> str:
    """Something that is folded in."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def definitions(rows: Sequence[tuple[str, object]]) -> str:
    """Names and what they stand for."""
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows
    )
    return f"<dl>{inner}</dl>"


def data_block(name: str, table: object) -> str:
    """Data for the script of the page; nothing in it can end the block or be run."""
    text = table if isinstance(table, str) else json.dumps(table, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"<script type='application/json' id='{escape(name)}'>{text}</script>"


def table(
    frame: pd.DataFrame,
    caption: str,
    *,
    trials: str | None = "trial",
    mark: str | None = None,
) -> str:
    """A frame as a table whose columns sort at a click.

    Args:
        frame: one row per line; numbers are shown short, unknown ones empty.
        caption: what it shows, for those who cannot see it, too.
        trials: column with numbers of trials; they are shown as buttons that open the card.
        mark: column that the rows are filtered by; its table is the one that cards link to.
    """
    shown = list(frame.columns)
    numeric = {name: _numeric(frame[name]) for name in shown}
    head = "".join(
        f"<th scope='col'{' class=n' if numeric[name] else ''}>"
        f"<button type='button'>{_breakable(name)}</button></th>"
        for name in shown
    )
    body = []
    for row in frame.to_dict(orient="records"):
        marks = ""
        if mark is not None and trials is not None:
            marks = f" data-status='{escape(row[mark])}' id='trial-{int(row[trials])}' tabindex=-1"
        cells = "".join(_td(row[name], numeric[name], trial=name == trials) for name in shown)
        body.append(f"<tr{marks}>{cells}</tr>")
    long = " long" if len(frame) > _LONG else ""
    return (
        f"<div class='scroll{long}' tabindex='0' role='region' aria-label='{escape(caption)}'>"
        f"<table class='sortable'><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{head}</tr>"
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _breakable(name: object) -> str:
    """A heading that may be broken behind its dots and underscores."""
    return re.sub(r"([._])", r"\1<wbr>", escape(name))


def _numeric(column: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _td(value: Any, numeric: bool, *, trial: bool) -> str:
    text = cell(value)
    if not numeric:
        return f"<td{' class=text' if len(text) > _TEXT else ''}>{escape(text)}</td>"
    if text == "":
        return "<td class=n></td>"
    inner = f"<button type='button' data-trial='{text}'>{text}</button>" if trial else text
    return f"<td class=n data-v='{float(value):.12g}'>{inner}</td>"
