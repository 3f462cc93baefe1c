"""The pictures of docs/rewards: they show what the rewards return, and every page has one."""

import importlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
IMAGES = DOCS / "images"
PAGES = sorted(DOCS.glob("rewards/*.md"))
NAMES = [page.stem for page in PAGES]
NUMBERS: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (IMAGES / "rewards.json").read_text(encoding="utf-8")
)
LARGEST = 200_000  # bytes of a picture
# The Bayesian fits take a minute, and ranks need all clouds; these take seconds.
QUICK = [
    ("mixture-criteria", "four clusters"),
    *(("information", panel) for panel in NUMBERS["information"]),
    ("validity", "types in\npatches"),
    ("validity", "orientation\nonly"),
    ("composite", "ring"),
]


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield importlib.import_module("make_reward_pictures")


def _texts(name: str) -> list[str]:
    """Words of a picture, in the order of the file."""
    root = ElementTree.fromstring(  # noqa: S314  # our own files
        (IMAGES / f"rewards-{name}.svg").read_text(encoding="utf-8")
    )
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


# ---- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "panel"), QUICK)
def test_a_number_is_what_the_reward_returns(tool: ModuleType, name: str, panel: str) -> None:
    picture, stored = tool.PICTURES[name], NUMBERS[name][panel]
    run = picture.panels[panel]()
    assert run.collapse.feasible is stored["feasible"]
    found = {row.label: row.value(run) for row in picture.lines if row.label != "rank"}
    assert found == pytest.approx({label: stored["values"][label] for label in found}, abs=1e-6)


def test_the_file_holds_every_number_that_is_shown(tool: ModuleType) -> None:
    assert list(NUMBERS) == list(tool.PICTURES)
    for name, picture in tool.PICTURES.items():
        assert list(NUMBERS[name]) == list(picture.panels)
        for panel in NUMBERS[name].values():
            assert list(panel["values"]) == [row.label for row in picture.lines]
            assert all(math.isfinite(value) for value in panel["values"].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_shows_the_numbers_of_the_file(tool: ModuleType, name: str) -> None:
    texts = _texts(name)
    for row in tool.PICTURES[name].lines:
        start = texts.index(row.label) + 1 + bool(row.direction)  # the arrow stands between
        shown = [
            tool.shown_as(panel["values"][row.label], row.digits)
            for panel in NUMBERS[name].values()
        ]
        assert texts[start : start + len(shown)] == shown


def test_collapsed_runs_are_marked() -> None:
    for name in NAMES:
        collapsed = sum(not panel["feasible"] for panel in NUMBERS[name].values())
        assert _texts(name).count("(infeasible)") == collapsed


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1.236, 2, "1.24"), (-0.5, 1, "\N{MINUS SIGN}0.5"), (-0.001, 2, "0.00"), (4.0, 0, "4")],
)
def test_how_a_number_is_written(tool: ModuleType, value: float, digits: int, text: str) -> None:
    assert tool.shown_as(value, digits) == text


def test_the_winner_is_feasible_and_may_share_its_place(tool: ModuleType) -> None:
    found = {
        name: {"feasible": feasible, "values": {"cost": cost}}
        for name, feasible, cost in [
            ("a", True, 1.001),
            ("b", True, 0.999),
            ("c", True, 2.0),
            ("d", False, 0.0),
        ]
    }
    row = tool.Row("cost", float, "minimize", 2)
    assert tool.winner(row, found) == {"a", "b"}
    assert tool.winner(row._replace(direction="maximize"), found) == {"c"}
    assert tool.winner(row._replace(direction=""), found) == set()


# ---- what the pictures teach -------------------------------------------------------------------


def _value(name: str, panel: str, label: str) -> float:
    return float(NUMBERS[name][panel]["values"][label])


def test_what_the_captions_say_is_in_the_numbers() -> None:
    gain = {panel: _value("mixture-criteria", panel, "gain") for panel in NUMBERS["composite"]}
    assert gain["one Gaussian"] == 0.0 < gain["four clusters"] < gain["ring"]
    clusters = ("defaults,\nseed 0", "defaults,\nseed 1")
    for panel in clusters:
        assert _value("bayesian", panel, "bayesian_components_effective") == 4.0
        assert _value("bayesian", "defaults,\nring", "elbo") < _value("bayesian", panel, "elbo")
    most = {p: _value("information", p, "information") for p in NUMBERS["information"]}
    assert max(most, key=most.__getitem__) == "noise, small\nkl_scale"
    kappa = {p: _value("validity", p, "spatial_kappa(K=4)") for p in NUMBERS["validity"]}
    assert max(kappa, key=kappa.__getitem__) == "a drift,\nno types"
    for label, best in (("sum of the first three", "ring"), ("sum", "four clusters")):
        totals = {p: _value("composite", p, label) for p in NUMBERS["composite"]}
        assert max(totals, key=totals.__getitem__) == best


def test_the_weighted_terms_add_up_to_the_sum() -> None:
    for panel in NUMBERS["composite"].values():
        terms = [v for label, v in panel["values"].items() if label.endswith(", weighted")]
        assert sum(terms) == pytest.approx(panel["values"]["sum"], abs=1e-8)


def test_ranks_by_hand() -> None:
    weights = {"gain": 1.0, "information_least": 0.5, "rate": -0.25, "rotation_ami(K=4)": 1.0}
    feasible = [panel["values"] for panel in NUMBERS["composite"].values() if panel["feasible"]]
    for panel in NUMBERS["composite"].values():
        total = 0.0
        for label, weight in weights.items():  # the rate is a cost: a run beats what is above it
            own, sign = panel["values"][label], math.copysign(1, weight)
            beaten = sum(sign * own > sign * other[label] for other in feasible)
            ties = sum(own == other[label] for other in feasible)
            total += abs(weight) * (beaten + ties / 2) / len(feasible)
        assert panel["values"]["rank"] == pytest.approx(total / 2.75, abs=1e-8)


# ---- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_picture_in_the_introduction(page: Path) -> None:
    introduction = page.read_text(encoding="utf-8").split("\n## ")[0]
    pictures = re.findall(r"^!\[([^]]+)\]\(([^)]+)\)$", introduction, flags=re.M)
    assert [target for _, target in pictures] == [f"../images/rewards-{page.stem}.svg"]
    assert all(words.endswith(".") for words, _ in pictures)


def test_every_picture_is_on_a_page() -> None:
    assert sorted(p.name for p in IMAGES.glob("*.svg")) == [f"rewards-{name}.svg" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_and_names_no_date(name: str) -> None:
    text = (IMAGES / f"rewards-{name}.svg").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    assert "dc:date" not in text


def test_the_same_picture_is_drawn_twice(tool: ModuleType) -> None:
    first, second = (tool.drawn("information", NUMBERS["information"]) for _ in range(2))
    assert first == second
