"""What a user reads when something can be put right."""

import pytest

from vaeopt.core.errors import DataError, Mistake, SettingsError, StudyError, VaeoptError


def test_an_error_reads_setting_message_remedy() -> None:
    error = VaeoptError("came 3", setting="vae.width", remedy="give more")
    assert str(error) == "vae.width: came 3; give more"


def test_an_error_without_setting_and_remedy_is_its_message() -> None:
    assert str(VaeoptError("came 3")) == "came 3"


def test_an_error_is_one_line_whatever_a_library_said() -> None:
    error = VaeoptError("first\n  second\t third\n", setting="image", remedy="look\nagain")
    assert str(error) == "image: first second third ; look again"


@pytest.mark.parametrize("kind", [DataError, StudyError])
def test_every_kind_of_error_is_a_vaeopt_error(kind: type[VaeoptError]) -> None:
    with pytest.raises(VaeoptError, match=r"^image: gone$") as caught:
        raise kind("gone", setting="image")
    assert (caught.value.message, caught.value.setting) == ("gone", "image")


def test_a_mistake_reads_dotted_path_and_message() -> None:
    assert str(Mistake(("rewards", 1, "weight"), "too big")) == "rewards.1.weight: too big"
    assert str(Mistake((), "too big")) == "too big"


def test_a_mistake_seen_from_above_has_the_longer_path() -> None:
    assert Mistake(("weight",), "too big").below("rewards", 1).path == ("rewards", 1, "weight")


def test_settings_error_carries_every_mistake_in_one_line() -> None:
    error = SettingsError([Mistake(("a",), "wrong"), Mistake(("b", "c"), "missing")])
    assert str(error) == "a: wrong; b.c: missing"
    assert [m.path for m in error.mistakes] == [("a",), ("b", "c")]


def test_settings_error_seen_from_above_keeps_every_mistake() -> None:
    error = SettingsError([Mistake(("a",), "wrong"), Mistake(("b",), "missing")])
    assert str(error.below("top")) == "top.a: wrong; top.b: missing"


def test_settings_error_is_collected_by_pydantic_and_caught_as_ours() -> None:
    error = SettingsError([Mistake(("a",), "wrong")])
    assert isinstance(error, ValueError)
    assert isinstance(error, VaeoptError)
