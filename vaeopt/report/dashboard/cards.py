"""Figures as optuna-dashboard stores them: cards on the page of a study.

A card is half the page wide and 450 px high. Its figure is kept as JSON among the system attributes
of the study, in pieces under the keys ``dashboard:plot_data:ID:0``, ``...:1`` and so on.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import plotly.graph_objects as go

from vaeopt.report.figures import WINDOW, curves_info, draw_curves, numeric_parameters
from vaeopt.report.panels import Panel, study_panels
from vaeopt.study.results.access import metric_names
from vaeopt.study.storage import together

__all__ = ["CARD_HEIGHT_PX", "ORDER", "Card", "cards_of", "in_order", "panels_of", "save_cards"]

ORDER = "vaeopt:cards"
"""system attribute of the study: ids of its figures as they are shown"""

CARD_HEIGHT_PX = 450
_PREFIX = "vaeopt-"
_KEY = "dashboard:plot_data:"
# optuna-dashboard itself takes 2045, the limit of old tables. Fewer rows are written and read much
# more quickly (docs/benchmarks.md); MySQL takes 65,535 bytes.
_PIECE = 16_000
_LINE = 84  # characters that fit below the title
_CURVES = 2  # side by side
_LEGEND_PX = 30


class Card(NamedTuple):
    """One figure, ready to be stored."""

    id: str
    json: str


def panels_of(study: optuna.Study, pixel_size_nm: float | None = None) -> list[Panel]:
    """The figures of a study that suit cards.

    Those with a curve for every reward and score are higher than a card: cards show the objectives,
    two at a time, and leave the rest to the report.

    Args:
        study: with or without finished trials.
        pixel_size_nm: of the image, if it is known.
    """
    found: list[Panel] = []
    parameters = {f"curves_{name.replace('.', '_')}": name for name in numeric_parameters(study)}
    parameters["curves"] = WINDOW
    for panel in study_panels(study, pixel_size_nm=pixel_size_nm):
        if panel.name in parameters:
            found += _curves(study, panel, parameters[panel.name], pixel_size_nm)
        else:
            found.append(panel)
    return found


def _curves(
    study: optuna.Study, panel: Panel, parameter: str, pixel_size_nm: float | None
) -> list[Panel]:
    info = curves_info(study, parameter)
    names = [name for name in metric_names(study) if name in info.curves]
    parts = []
    for start in range(0, len(names), _CURVES):
        own = names[start : start + _CURVES]
        part = info._replace(curves={name: info.curves[name] for name in own})
        name = panel.name if start == 0 else f"{panel.name}_{start // _CURVES + 1}"
        parts.append(panel._replace(name=name, figure=draw_curves(part, pixel_size_nm)))
    return parts


def cards_of(panels: Sequence[Panel]) -> list[Card]:
    """One card per panel, in their order."""
    return [Card(f"{_PREFIX}{panel.name}", str(_fitted(panel).to_json())) for panel in panels]


def _fitted(panel: Panel) -> go.Figure:
    """A copy that says what it is, since a card has no heading, and fits into it."""
    figure = go.Figure(panel.figure)
    if (figure.layout.height or 0) > CARD_HEIGHT_PX:  # titles of axes in two lines would overlap
        figure.for_each_yaxis(lambda axis: axis.title.update(text=_first_line(axis.title.text)))
    sentence = re.match(r".*?[.!?](?=\s|$)", panel.caption, re.DOTALL)
    lines = textwrap.wrap(sentence[0] if sentence else panel.caption, _LINE)
    # Titles of panels stand above them, and legends where the title of the card is now.
    above = [a for a in figure.layout.annotations if a.yref == "paper" and (a.y or 0) > 0.95]
    titles = max((str(a.text).count("<br>") + 1 for a in above), default=0)
    bottom = figure.layout.margin.b or 60
    if figure.layout.showlegend or sum(trace.type != "heatmap" for trace in figure.data) > 1:
        bottom += _LEGEND_PX
    figure.update_layout(
        title={
            "text": f"<b>{panel.title}</b>",
            "subtitle": {"text": "<br>".join(lines), "font": {"size": 12, "color": "#555"}},
            "font": {"size": 16},
            "x": 0.01,
            "xanchor": "left",
            "y": 0.98,
            "yanchor": "top",
        },
        legend={"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom"},
        height=CARD_HEIGHT_PX,
        width=None,
        autosize=True,
    )
    _without_defaults_of_others(figure)
    figure.update_layout(margin={"t": 56 + 12 * len(lines) + 20 * titles, "b": bottom})
    return figure


def _without_defaults_of_others(figure: go.Figure) -> None:
    """Defaults for the forty kinds of traces that are not drawn are half of a small figure."""
    template = figure.layout.template.to_plotly_json()
    used = {trace.type for trace in figure.data}
    template["data"] = {k: v for k, v in template.get("data", {}).items() if k in used}
    figure.layout.template = template


def _first_line(text: str | None) -> str | None:
    return text and text.partition("<br>")[0]


def save_cards(study: optuna.Study, cards: Sequence[Card]) -> int:
    """Store those that have changed, in one transaction where the storage can.

    A figure that is not drawn any more is left out of the order, and so hidden by our dashboard;
    plain optuna-dashboard shows an empty card, since an attribute cannot be taken away.

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
    order: list[str] = list(wanted)
    rows: dict[str, Any] = {} if stored.get(ORDER, []) == order else {ORDER: order}
    written = 0
    for name, text in (wanted | dict.fromkeys(there - wanted.keys(), _NOTHING)).items():
        changed = _rows(f"{_KEY}{name}:", text, stored)
        rows |= changed
        written += bool(changed)
    if rows:
        with together(storage):
            for key, piece in rows.items():
                storage.set_study_system_attr(study_id, key, piece)
    return written


def in_order(figures: Mapping[str, str], system_attrs: Mapping[str, Any]) -> dict[str, str]:
    """Saved figures as they shall be shown: ours in their order, then those of others.

    Args:
        figures: JSON by id.
        system_attrs: of the study.
    """
    order = [name for name in system_attrs.get(ORDER, []) if name in figures]
    others = sorted(name for name in figures if not name.startswith(_PREFIX))
    return {name: figures[name] for name in (*order, *others)}


_NOTHING = '{"data": [], "layout": {"title": {"text": "not drawn any more"}}}'


def _rows(key: str, text: str, stored: Mapping[str, object]) -> dict[str, str]:
    """What differs from what is stored, by key; pieces that are left over are emptied."""
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
    while f"{key}{len(pieces)}" in stored:
        pieces.append("")
    rows = {f"{key}{i}": piece for i, piece in enumerate(pieces)}
    return {name: piece for name, piece in rows.items() if stored.get(name) != piece}
