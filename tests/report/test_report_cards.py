"""Figures in the study: what is stored, when, and that everything else goes on beside it."""

import itertools
import json
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import plotly.graph_objects as go
import pytest
from optuna.exceptions import StorageInternalError
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects, is_valid_graph_object_id

import vaeopt as vo
from tests.study.tiny import made_by_hand, points, write_study
from vaeopt.cli import main
from vaeopt.report.dashboard.cards import (
    CARD_HEIGHT_PX,
    Card,
    cards_of,
    in_order,
    panels_of,
    save_cards,
)
from vaeopt.report.dashboard.refresh import save_figures
from vaeopt.report.panels import Panel
from vaeopt.study.optimize import optimize
from vaeopt.study.results.copy import copy


def attributes(study: optuna.Study) -> dict[str, object]:
    return dict(study._storage.get_study_system_attrs(study._study_id))


def shown(study: optuna.Study) -> dict[str, str]:
    """As the dashboard reads it."""
    return dict(get_plotly_graph_objects(attributes(study)))


def panel(name: str, caption: str = "One sentence.") -> Panel:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), layout={"height": 900, "width": 300})
    return Panel(name, "Section", "Title", caption, figure, pd.DataFrame())


@pytest.fixture
def empty() -> optuna.Study:
    return made_by_hand(["minimize", "maximize"], [])


def test_a_card_says_what_it_is_and_fits() -> None:
    given = panel("front", caption="word " * 40 + "e.g. a word. A second sentence.")
    (card,) = cards_of([given])
    assert card.id == "vaeopt-front"
    assert is_valid_graph_object_id(card.id)
    layout = json.loads(card.json)["layout"]
    assert layout["title"]["text"] == "<b>Title</b>"
    lines = layout["title"]["subtitle"]["text"].split("<br>")
    assert " ".join(lines) == "word " * 40 + "e.g."
    assert max(map(len, lines)) < 100
    assert layout["height"] == CARD_HEIGHT_PX
    assert "width" not in layout
    assert layout["margin"]["t"] > 40 + 12 * len(lines)
    assert given.figure.layout.height == 900, "the figure itself stays as it is"


def test_cards_are_shown_in_the_order_of_the_figures(empty: optuna.Study) -> None:
    names = ["b", "a", "d"]
    empty._storage.set_study_system_attr(empty._study_id, "dashboard:plot_data:mine:0", "{}")
    save_cards(empty, cards_of([panel(name) for name in names]))
    attrs = attributes(empty)
    ids = [*(f"vaeopt-{name}" for name in names), "mine"]
    assert list(in_order(shown(empty), attrs)) == ids


def test_what_is_stored_is_what_the_dashboard_reads(empty: optuna.Study) -> None:
    long = Card("vaeopt-long", json.dumps({"data": [], "layout": {"text": "x" * 50_000}}))
    assert save_cards(empty, [long]) == 1
    assert shown(empty) == dict([long])
    assert max(len(str(value)) for value in attributes(empty).values()) < 65_536  # of MySQL


def test_a_shorter_figure_leaves_nothing_of_a_longer_one(empty: optuna.Study) -> None:
    for length in (50_000, 10, 33_000):
        card = Card("vaeopt-a", json.dumps({"layout": {"text": "x" * length}}))
        assert save_cards(empty, [card]) == 1
        assert shown(empty) == dict([card])


def test_what_has_not_changed_is_not_written(empty: optuna.Study) -> None:
    first, second = (Card(f"vaeopt-{i}", json.dumps({"layout": {"text": i}})) for i in (1, 2))
    save_cards(empty, [first, second])
    assert save_cards(empty, [first, second]) == 0
    assert save_cards(empty, [first, second._replace(json='{"data": []}')]) == 1


def test_a_figure_that_is_gone_can_still_be_drawn_and_those_of_others_stay(
    empty: optuna.Study,
) -> None:
    others = {"dashboard:plot_data:mine:0": '{"data": []}'}
    for key, value in others.items():
        empty._storage.set_study_system_attr(empty._study_id, key, value)
    save_cards(empty, cards_of([panel("a"), panel("b")]))
    save_cards(empty, cards_of([panel("a")]))
    found = shown(empty)
    assert found["mine"] == '{"data": []}'
    gone = json.loads(found["vaeopt-b"])
    assert gone["data"] == []
    assert gone["layout"]["title"]["text"] == "not drawn any more"
    assert list(in_order(found, attributes(empty))) == ["vaeopt-a", "mine"]
    save_cards(empty, cards_of([panel("a"), panel("b")]))
    assert list(in_order(shown(empty), attributes(empty))) == ["vaeopt-a", "vaeopt-b", "mine"]


def test_all_figures_change_together_or_not_at_all(
    finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = vo.load_study(finished_copy)
    save_cards(study, cards_of([panel("a"), panel("b")]))
    before = shown(study)
    write, count = study._storage.set_study_system_attr, 0

    def second_fails(study_id: int, key: str, value: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise StorageInternalError("cut off")
        write(study_id, key, value)

    monkeypatch.setattr(study._storage, "set_study_system_attr", second_fails)
    with pytest.raises(StorageInternalError, match="cut off"):
        save_cards(study, cards_of([panel("a", "Other."), panel("b", "Other.")]))
    assert count == 2
    assert shown(vo.load_study(finished_copy)) == before


def test_every_figure_of_a_study_is_small_and_stays_the_same(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    names = [one.name for one in panels_of(study)]
    assert {"front", "curves"} < set(names)
    assert len(set(names)) == len(names)
    assert save_figures(study) == len(names)
    found = in_order(shown(study), attributes(study))
    assert list(found) == [f"vaeopt-{name}" for name in names]
    assert max(map(len, found.values())) < 150_000
    assert save_figures(study) == 0, "drawn twice, the same"


def test_curves_are_those_of_the_objectives_two_on_a_card(tmp_path: Path) -> None:
    kinds = ("reconstruction", "gain", "rate")
    rewards = f"[ {', '.join(f'{{ kind = {kind!r} }}' for kind in kinds)} ]".replace("'", '"')
    study = optimize(write_study(tmp_path, rewards=rewards, n_trials=3))
    found = {one.name: one.figure for one in panels_of(study) if one.name.startswith("curves")}
    assert list(found) == ["curves", "curves_2"]
    titles = [[a.text for a in figure.layout.annotations] for figure in found.values()]
    assert [len(texts) for texts in titles] == [2, 1]
    for text, name in zip(itertools.chain(*titles), ["fvu_core", "gain", "rate"], strict=True):
        assert name in text.replace("<br>", "")


def test_a_study_without_trials_has_no_figures(empty: optuna.Study) -> None:
    assert save_figures(empty) == 0
    assert shown(empty) == {}


def test_a_study_with_figures_goes_on_as_one_without(finished_copy: Path, tmp_path: Path) -> None:
    study = vo.load_study(finished_copy)
    before = points(study.trials)
    save_figures(study)
    for verb in ("status", "best", "report"):
        assert main([verb, str(finished_copy)]) == 0
    assert points(optimize(finished_copy).trials) == before, "the guard sees the same study"
    assert main(["confirm", str(finished_copy), "--top", "1", "--seeds", "1", "--quiet"]) == 0
    target = f"sqlite:///{tmp_path / 'other.db'}"
    copy(finished_copy, to=target)
    copied = vo.load_study(finished_copy, storage=target)
    assert shown(copied) == shown(study)
    names = optuna.get_all_study_names(copied._storage)
    assert sorted(names) == ["tiny", "tiny-confirm"]
    again = optuna.load_study(study_name="tiny-confirm", storage=copied._storage)
    assert save_figures(again) > 0, "the study of a confirmation has figures, too"
