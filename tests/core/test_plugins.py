"""Plug-ins: a class is settings, table and code at once, found by its kind."""

import json

import pytest
from pydantic import PositiveInt

from vaeopt.core.errors import SettingsError
from vaeopt.core.settings import Plugin, Settings


class _Families:
    """A family with two members, made anew for each test."""

    def __init__(self) -> None:
        class Shape(Plugin, family="shape"):
            def area(self) -> float:
                raise NotImplementedError

        class Square(Shape, kind="square", aliases=("box", "quadrat")):
            edge: PositiveInt = 2

            def area(self) -> float:
                return float(self.edge**2)

        class Disc(Shape, kind="disc"):
            radius: float = 1.0

            def area(self) -> float:
                return 3 * self.radius**2

        self.shape, self.square, self.disc = Shape, Square, Disc


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> _Families:
    monkeypatch.setattr(Plugin, "families", dict(Plugin.families))  # leave no trace for others
    return _Families()


def _message(error: pytest.ExceptionInfo[SettingsError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_kinds_are_listed_without_aliases(kinds: _Families) -> None:
    assert kinds.shape.kinds() == ["disc", "square"]


def test_an_alias_leads_to_the_same_class(kinds: _Families) -> None:
    assert kinds.shape.of_kind("box") is kinds.square
    assert kinds.shape.from_table("quadrat").to_table() == {"kind": "square", "edge": 2}


def test_an_unknown_kind_names_the_nearest_and_the_known_ones(kinds: _Families) -> None:
    with pytest.raises(SettingsError) as caught:
        kinds.shape.of_kind("sqare")
    expected = (
        "kind: unknown kind 'sqare'; did you mean 'square'? (known: box, disc, quadrat, square)"
    )
    assert _message(caught) == expected


@pytest.mark.parametrize("name", ["square", "box"])
def test_a_kind_cannot_be_declared_twice(kinds: _Families, name: str) -> None:
    with pytest.raises(SettingsError, match=f"^shape: kind '{name}' is declared twice$"):
        type("Other", (kinds.shape,), {"__module__": __name__}, kind=name)
    assert kinds.shape.of_kind(name) is kinds.square


def test_an_alias_cannot_take_the_name_of_another_kind(kinds: _Families) -> None:
    with pytest.raises(SettingsError, match="kind 'disc' is declared twice"):
        type("Other", (kinds.shape,), {"__module__": __name__}, kind="o", aliases=("disc",))


def test_the_same_class_loaded_again_replaces_itself(kinds: _Families) -> None:
    same = {"__module__": kinds.disc.__module__, "__qualname__": kinds.disc.__qualname__}
    again = type("Disc", (kinds.shape,), same, kind="disc")
    assert kinds.shape.of_kind("disc") is again


def test_a_class_of_the_same_name_from_elsewhere_does_not_replace_a_kind(kinds: _Families) -> None:
    other = {"__module__": "elsewhere", "__qualname__": kinds.disc.__qualname__}
    with pytest.raises(SettingsError, match="kind 'disc' is declared twice"):
        type("Disc", (kinds.shape,), other, kind="disc")
    assert kinds.shape.of_kind("disc") is kinds.disc


def test_families_do_not_mix(kinds: _Families) -> None:
    class Colour(Plugin, family="colour"):
        pass

    class Disc(Colour, kind="disc"):
        pass

    assert Colour.of_kind("disc") is Disc
    assert kinds.shape.of_kind("disc") is kinds.disc
    assert Plugin.families["colour"] is Colour


def test_a_table_makes_the_member_and_the_member_the_table(kinds: _Families) -> None:
    table = {"kind": "square", "edge": 5}
    member = kinds.shape.from_table(table)
    assert (type(member), member.area()) == (kinds.square, 25.0)
    assert list(member.to_table().items()) == list(table.items())
    assert kinds.shape.from_table(json.loads(json.dumps(member.to_table()))) == member


def test_a_member_is_taken_as_it_is(kinds: _Families) -> None:
    member = kinds.disc(radius=3.0)
    assert kinds.shape.from_table(member) is member


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (7, "expected a table with a kind, got 7; known: disc, square"),
        ({"edge": 2}, "kind: is required and missing; known: disc, square"),
        ({"kind": 3}, "kind: is required and missing; known: disc, square"),
        ({"kind": "square", "edg": 2}, "edg: unknown setting; did you mean 'edge'? (known: edge)"),
    ],
)
def test_a_wrong_table_says_what_is_expected(kinds: _Families, table: object, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        kinds.shape.from_table(table)
    assert _message(caught) == text


def test_a_field_of_the_family_takes_members_declared_later(kinds: _Families) -> None:
    shape = kinds.shape

    class Drawing(Settings):
        first: shape  # type: ignore[valid-type]  # a class made in this test

    class Line(shape, kind="line"):  # type: ignore[misc, valid-type, call-arg]  # the same
        length: float = 1.0

    drawing = Drawing(first={"kind": "line", "length": 2.0})
    assert isinstance(drawing.first, Line)
    assert drawing.to_table() == {"first": {"kind": "line", "length": 2.0}}
    assert Drawing(**drawing.to_table()) == drawing


def test_mistakes_in_members_stand_beside_those_of_their_siblings(kinds: _Families) -> None:
    shape = kinds.shape

    class Drawing(Settings):
        first: shape  # type: ignore[valid-type]  # a class made in this test
        second: shape  # type: ignore[valid-type]  # the same
        width: PositiveInt = 3

    with pytest.raises(SettingsError) as caught:
        Drawing(first={"kind": "square", "edge": -1}, second="dsc", width=0)
    paths = [mistake.path for mistake in caught.value.mistakes]
    assert paths == [("first", "edge"), ("second", "kind"), ("width",)]
    assert "did you mean 'disc'?" in _message(caught)
