"""Figures as optuna-dashboard stores them: cards on the page of a study.

A card is half the page wide and 450 px high. Its figure is kept as JSON among the system attributes
of the study, in pieces under the keys ``dashboard:plot_data:ID:0``, ``...:1`` and so on.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import optuna
import plotly.graph_objects as go

from vaeopt.report.panels import Panel
from vaeopt.study.storage import together

__all__ = ["CARD_HEIGHT_PX", "Card", "cards_of", "save_cards"]

CARD_HEIGHT_PX = 450
_PREFIX = "vaeopt-"
_KEY = "dashboard:plot_data:"
# optuna-dashboard itself takes 2045, the limit of old tables. Fewer rows are written and read much
# more quickly (docs/benchmarks.md); MySQL takes 65,535 bytes.
_PIECE = 16_000
_LINE = 88  # characters that fit below the title


class Card(NamedTuple):
    """One figure, ready to be stored."""

    id: str
    json: str


def cards_of(panels: Sequence[Panel]) -> list[Card]:
    """One card per panel, whose ids sort in the order of the panels."""
    return [
        Card(f"{_PREFIX}{i:02d}-{panel.name}", str(_fitted(panel).to_json()))
        for i, panel in enumerate(panels, start=1)
    ]


def _fitted(panel: Panel) -> go.Figure:
    """A copy that says what it is, since a card has no heading, and fits into it."""
    figure = go.Figure(panel.figure)
    lines = textwrap.wrap(panel.caption, _LINE)
    figure.update_layout(
        title={
            "text": f"<b>{panel.title}</b>",
            "subtitle": {"text": "<br>".join(lines), "font": {"size": 11, "color": "#555"}},
            "font": {"size": 15},
            "x": 0.01,
            "xanchor": "left",
            "y": 0.98,
            "yanchor": "top",
        },
        height=CARD_HEIGHT_PX,
        width=None,
        autosize=True,
    )
    figure.layout.margin.t = 46 + 15 * len(lines)
    return figure


def save_cards(study: optuna.Study, cards: Sequence[Card]) -> int:
    """Store those that have changed, in one transaction where the storage can.

    Returns:
        How many were written.
    """
    storage, study_id = study._storage, study._study_id
    stored = storage.get_study_system_attrs(study_id)
    there = {
        key.removeprefix(_KEY).rpartition(":")[0]
        for key in stored
        if key.startswith(f"{_KEY}{_PREFIX}")
    }
    wanted = {card.id: card.json for card in cards}
    wanted |= dict.fromkeys(there - wanted.keys(), _NOTHING)
    rows: dict[str, str] = {}
    written = 0
    for name, text in wanted.items():
        changed = _rows(f"{_KEY}{name}:", text, stored)
        rows |= changed
        written += bool(changed)
    if rows:
        with together(storage):
            for key, piece in rows.items():
                storage.set_study_system_attr(study_id, key, piece)
    return written


# Of a figure that is not drawn any more: an attribute can be emptied, but not taken away.
_NOTHING = str(
    go.Figure(
        layout={
            "template": None,
            "xaxis": {"visible": False},
            "yaxis": {"visible": False},
            "annotations": [{"text": "nothing to draw any more", "showarrow": False}],
        }
    ).to_json()
)


def _rows(key: str, text: str, stored: Mapping[str, object]) -> dict[str, str]:
    """What differs from what is stored, by key; pieces that are left over are emptied."""
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
    count = len(pieces)
    while f"{key}{count}" in stored:
        pieces.append("")
        count += 1
    rows = {f"{key}{i}": piece for i, piece in enumerate(pieces)}
    return {name: piece for name, piece in rows.items() if stored.get(name) != piece}
