"""Settings: nothing unknown, nothing converted in silence, every mistake at once."""

import json
from typing import Annotated, Any

import pytest
from pydantic import PositiveFloat, PositiveInt, ValidationError, field_validator

from vaeopt.core.errors import SettingsError
from vaeopt.core.settings import Settings, Tuple, nearest


class Lens(Settings):
    focus_mm: PositiveFloat = 50.0
    elements: PositiveInt = 4


class Camera(Settings):
    name: str
    lens: Lens = Lens()
    filters: Annotated[tuple[str, ...], Tuple] = ()
    shutter_s: float = 0.1

    @field_validator("shutter_s")
    @classmethod
    def _closes(cls, value: float) -> float:
        if value < 0:
            raise ValueError("The shutter must close after it opens")
        return value


def _mistakes(table: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        Camera(**table)
    assert "\n" not in str(caught.value)
    return {".".join(map(str, m.path)): m.message for m in caught.value.mistakes}


def test_an_unknown_setting_hints_at_the_nearest_known_one() -> None:
    found = _mistakes({"name": "a", "shuter_s": 1.0})
    assert found == {
        "shuter_s": "unknown setting; did you mean 'shutter_s'? "
        "(known: filters, lens, name, shutter_s)"
    }


def test_an_unknown_setting_unlike_any_other_lists_the_known_ones() -> None:
    found = _mistakes({"name": "a", "qqq": 1.0})
    assert found == {"qqq": "unknown setting; known: filters, lens, name, shutter_s"}


def test_all_mistakes_are_found_at_once_also_nested_ones() -> None:
    table = {"lens": {"focus_mm": -1.0, "elemnts": 2}, "filters": [1], "shutter_s": -1.0}
    found = _mistakes(table)
    assert set(found) == {"name", "lens.focus_mm", "lens.elemnts", "filters.0", "shutter_s"}
    assert found["name"] == "is required and missing"
    assert "did you mean 'elements'?" in found["lens.elemnts"]


def test_a_mistake_says_what_came() -> None:
    assert _mistakes({"name": "a", "lens": {"elements": -3}})["lens.elements"].endswith("got -3")


def test_a_validator_speaks_with_its_own_words() -> None:
    found = _mistakes({"name": "a", "shutter_s": -2.0})
    assert found == {"shutter_s": "the shutter must close after it opens, got -2.0"}


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("lens.elements", {"lens": {"elements": "4"}}),
        ("lens.elements", {"lens": {"elements": 4.0}}),
        ("lens.elements", {"lens": {"elements": True}}),
        ("lens.focus_mm", {"lens": {"focus_mm": "50"}}),
        ("shutter_s", {"shutter_s": float("nan")}),
        ("shutter_s", {"shutter_s": float("inf")}),
        ("name", {"name": 3}),
        ("filters", {"filters": "red"}),
    ],
)
def test_values_of_another_type_are_refused(path: str, table: dict[str, Any]) -> None:
    assert set(_mistakes({"name": "a", **table})) == {path}


def test_a_whole_number_may_stand_for_a_float() -> None:
    assert Camera(name="a", shutter_s=1).shutter_s == 1.0


def test_a_list_may_stand_for_a_tuple() -> None:
    table: dict[str, Any] = {"name": "a", "filters": ["red", "blue"]}
    assert Camera(**table).filters == ("red", "blue")


def test_settings_cannot_be_changed() -> None:
    camera = Camera(name="a")
    with pytest.raises(ValidationError, match="frozen"):
        camera.name = "b"  # type: ignore[misc]  # that is the test
    assert camera.name == "a"


def test_a_wrong_default_is_found_too() -> None:
    class Broken(Settings):
        width: PositiveInt = -1

    with pytest.raises(SettingsError, match=r"^width: "):
        Broken()


def test_a_table_makes_the_same_settings_again_also_through_json() -> None:
    camera = Camera(name="a", lens=Lens(elements=7), filters=("red",), shutter_s=0.3)
    table = json.loads(json.dumps(camera.to_table()))
    assert table == {
        "name": "a",
        "lens": {"focus_mm": 50.0, "elements": 7},
        "filters": ["red"],
        "shutter_s": 0.3,
    }
    assert Camera(**table) == camera


def test_nearest_says_so_where_nothing_is_known() -> None:
    assert nearest("a", []) == "known: none"
