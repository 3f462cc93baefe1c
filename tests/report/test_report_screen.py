"""Lines at the bottom of a terminal."""

import pytest

from tests.report.emulator import Screen as Seen
from tests.report.emulator import window
from vaeopt.report.screen import Line, Screen, bar, cut, fill, moves, width

COLUMNS = [20, 40, 80, 200]


@pytest.mark.parametrize("columns", COLUMNS)
def test_lines_are_written_again_in_their_place(columns: int) -> None:
    with window(columns) as place:
        screen = Screen(place.stream)
        screen.show([Line("first " * 50), Line("second " * 50, "bold")])
        screen.show([Line("third " * 50)], now=True)
        screen.say("a note")
        screen.show([Line("fourth"), Line("fifth", "dim")], now=True)
        screen.close()
        seen = Seen(columns).feed(place.text())
    assert seen.rows == ["a note", "fourth", "fifth", ""]
    assert seen.wrapped == 0
    assert (seen.row, seen.column) == (3, 0), "the next line starts at the left"


def test_a_window_that_becomes_narrower_keeps_no_leftovers() -> None:
    with window(80) as place:
        screen = Screen(place.stream)
        screen.show([Line("x" * 70), Line("y" * 70)])
        place.text()
        place.resize(40)
        screen.show([Line("z")], now=True)
        text = place.text()
    assert text.startswith("\r\x1b[3A\x1b[J"), "two lines of 70 columns fill four rows of 40"


def test_lines_that_come_quickly_are_left_out() -> None:
    with window(80) as place:
        screen = Screen(place.stream)
        screen.show([Line("one")])
        screen.show([Line("two")])
        assert place.text() == "one"


@pytest.mark.parametrize(("value", "styles"), [("", ["1", "0"]), ("1", [])])
def test_no_color_means_no_colour(
    value: str, styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    with window(80) as place:
        Screen(place.stream).show([Line("plain"), Line("strong", "bold")])
        assert Seen(80).feed(place.text()).styles == styles


def test_a_window_without_a_size_counts_as_eighty_columns() -> None:
    with window(0) as place:
        assert Screen(place.stream).columns == 79


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with window(80) as place:
        monkeypatch.setenv("TERM", "xterm")
        assert moves(place.stream)
        monkeypatch.setenv("TERM", "dumb")
        assert not moves(place.stream)


def test_texts_are_cut_by_the_columns_that_they_take() -> None:
    assert cut("漢字漢字", 6) == "漢字.."
    assert width(cut("漢字漢字", 5)) <= 5
    assert cut("abc", 3) == "abc"
    assert cut("abcdef", 1) == "."
    assert cut("two\nlines \x1b[31mred", 80) == "two lines  [31mred", "nothing is smuggled in"


def test_pieces_that_do_not_fit_go_to_the_next_line_or_are_left_out() -> None:
    assert fill(["aaaa", "bbbb", "cccc"], 10, most=2) == ["aaaa; bbbb", "cccc"]
    assert fill(["aaaa", "bbbb", "cccc"], 10, most=1) == ["aaaa; bbbb"]
    assert fill(["a" * 20], 10, most=1) == ["aaaaaaaa.."]
    assert fill([], 10, most=3) == []


@pytest.mark.parametrize(("share", "full"), [(0, 0), (0.5, 5), (1, 10), (2, 10), (-1, 0)])
def test_a_bar_is_as_full_as_it_should_be(share: float, full: int) -> None:
    assert bar(share, 12) == f"[{'#' * full}{'.' * (10 - full)}]"


def test_there_is_no_bar_without_room() -> None:
    assert bar(0.5, 6) == ""
