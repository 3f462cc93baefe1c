"""The page in a real browser, opened from a file, without a network."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import vaeopt as vo
from tests.browser import Visit
from tests.study.tiny import SEARCH_COLLAPSE, write_study
from vaeopt.report.page import write_report
from vaeopt.study.fronts.pareto import best, front
from vaeopt.study.optimize import optimize
from vaeopt.study.session import prepare

expect.set_options(timeout=60_000)  # a busy machine is not a mistake of the page

# Where a point that stands for this trial is in the window; the figure is drawn by then.
_PLACE_OF = """([name, number]) => {
  const plot = document.querySelector(`.plot[data-figure="${name}"]`);
  const box = plot.querySelector(".plot-container").getBoundingClientRect();
  for (const trace of plot._fullData) {
    const held = Array.from(trace.customdata || []);
    const i = held.findIndex((one) => Number(Array.isArray(one) ? one[0] : one) === number);
    if (i < 0 || trace.visible !== true || trace.type !== "scatter") continue;
    const x = plot._fullLayout["xaxis" + trace.xaxis.slice(1)];
    const y = plot._fullLayout["yaxis" + trace.yaxis.slice(1)];
    const at = (axis, value) => axis._offset + axis.d2p(value);
    return { x: box.x + at(x, trace.x[i]), y: box.y + at(y, trace.y[i]) };
  }
  return null;
}"""

_PLACE_IN_SPACE = """(number) => {
  const plot = document.querySelector('.plot[data-figure="front"]');
  const scene = plot._fullLayout.scene._scene;
  if (!scene || !scene.glplot || !scene.glplot.cameraParams) return null;
  const trace = plot._fullData.find((one) => Array.from(one.customdata || []).includes(number));
  const i = Array.from(trace.customdata).indexOf(number);
  const { model, view, projection } = scene.glplot.cameraParams;
  const times = (m, v) =>
    [0, 1, 2, 3].map((r) => v.reduce((sum, one, c) => sum + m[4 * c + r] * one, 0));
  const at = [trace.x[i], trace.y[i], trace.z[i]].map((x, k) => x * scene.dataScale[k]);
  const [x, y, , w] = times(projection, times(view, times(model, [...at, 1])));
  const box = scene.container.getBoundingClientRect();
  const [right, up] = [x / w / 2, y / w / 2];
  return { x: box.x + (0.5 + right) * box.width, y: box.y + (0.5 - up) * box.height };
}"""


@pytest.fixture(scope="module")
def two(finished_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = vo.load_study(finished_folder)
    session = prepare(vo.open_study(finished_folder))
    return write_report(study, session, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    rewards = '[ { kind = "reconstruction" }, { kind = "gain" }, { kind = "icl" } ]'
    folder = write_study(
        tmp_path_factory.mktemp("three"), rewards=rewards, search=SEARCH_COLLAPSE, n_trials=5
    )
    study = optimize(folder)
    page = write_report(study, prepare(vo.open_study(folder)), folder / "report")
    return page, best(study).number


def opened(visit: Visit, page: Path, figure: str | None = None) -> Page:
    """The page, scrolled to a figure that is drawn."""
    visit.page.emulate_media(reduced_motion="reduce")
    visit.page.goto(page.as_uri())
    if figure is not None:
        plot = visit.page.locator(f".plot[data-figure='{figure}']")
        plot.scroll_into_view_if_needed()
        expect(plot.locator(".main-svg").first).to_be_visible()
    return visit.page


def place_of(page: Page, figure: str, number: int) -> tuple[float, float]:
    page.locator(f"#panel-{figure}").evaluate("one => one.scrollIntoView({block: 'center'})")
    place: dict[str, Any] | None = page.evaluate(_PLACE_OF, [figure, number])
    assert place is not None, f"no point of trial {number}"
    return place["x"], place["y"]


def check_picture(page: Page) -> None:
    """The card shows a picture that has arrived."""
    image = page.locator("#card img")
    expect(image).to_be_visible()
    assert image.evaluate("one => one.complete && one.naturalWidth") == 320


def test_a_point_of_the_front_shows_its_trial(
    visit: Visit, two: Path, finished_folder: Path
) -> None:
    number = front(vo.load_study(finished_folder))[0].number
    page = opened(visit, two, "front")
    card = page.locator("#card")
    expect(card).to_be_hidden()
    page.mouse.move(*place_of(page, "front", number))
    expect(card).to_be_visible()
    expect(card.locator("h4")).to_have_text(f"Trial {number}")
    expect(card).to_contain_text("fvu_core")
    expect(card).to_contain_text("patches.size_px")
    check_picture(page)
    page.mouse.move(5, 5)
    expect(card).to_be_hidden()


def test_a_click_pins_the_card_and_leads_to_the_table(
    visit: Visit, two: Path, finished_folder: Path
) -> None:
    number = front(vo.load_study(finished_folder))[0].number
    page = opened(visit, two, "front")
    card = page.locator("#card")
    x, y = place_of(page, "front", number)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(card).to_have_class("pinned")
    page.mouse.move(5, 5)
    expect(card).to_be_visible()
    check_picture(page)
    card.get_by_role("button", name="Row in the table").click()
    row = page.locator(f"#trial-{number}")
    expect(row).to_be_in_viewport()
    expect(row).to_have_class("marked")
    expect(card).to_be_hidden()


def test_a_card_opens_and_closes_by_the_keyboard(visit: Visit, two: Path) -> None:
    page = opened(visit, two)
    button = page.locator("#all-trials button[data-trial]").first
    button.focus()
    page.keyboard.press("Enter")
    card = page.locator("#card")
    expect(card).to_be_visible()
    expect(card.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(button).to_be_focused()


def test_a_front_in_three_dimensions_has_cards_too(visit: Visit, three: tuple[Path, int]) -> None:
    path, number = three
    page = opened(visit, path)
    plot = page.locator(".plot[data-figure='front']")
    plot.scroll_into_view_if_needed()
    expect(plot.locator(".gl-container canvas").first).to_be_attached()
    plot.evaluate("one => one.scrollIntoView({block: 'center'})")
    page.wait_for_function(_PLACE_IN_SPACE, arg=number)
    place = page.evaluate(_PLACE_IN_SPACE, number)
    card = page.locator("#card")
    page.mouse.move(place["x"] + 30, place["y"] + 30)
    for _ in range(20):  # the picture is drawn again in its own time
        page.mouse.move(place["x"] + 1, place["y"])
        page.wait_for_timeout(200)
        page.mouse.move(place["x"], place["y"])
        if card.is_visible():
            break
    shown = card.locator("h4").text_content()
    check_picture(page)
    page.mouse.down()
    page.mouse.up()
    expect(card).to_have_class("pinned")
    assert shown == card.locator("h4").text_content()


def test_the_table_sorts_and_filters(visit: Visit, two: Path) -> None:
    page = opened(visit, two)
    part = page.locator("#all-trials")
    count = part.locator("#filter-count")
    expect(count).to_have_text("6 of 6 trials")
    part.get_by_role("combobox").select_option("collapsed")
    shown = part.locator("tbody tr:not([hidden])")
    statuses = shown.locator("td:nth-child(2)")
    assert set(statuses.all_text_contents()) == {"collapsed"}
    part.get_by_role("combobox").select_option("")
    part.get_by_role("searchbox").fill("rotation+translation")
    assert 0 < shown.count() < 6
    part.get_by_role("searchbox").fill("")
    for direction in (1, -1):
        part.get_by_role("columnheader", name="gain").get_by_role("button").click()
        column = part.locator("thead th").all_text_contents().index("gain") + 1
        held = shown.locator(f"td:nth-child({column})").evaluate_all(
            "cells => cells.map(cell => parseFloat(cell.dataset.v))"
        )
        assert held == sorted(held, reverse=direction < 0)


def test_every_figure_is_drawn_and_nothing_is_wider_than_a_phone(visit: Visit, two: Path) -> None:
    visit.wide(400, 800)
    page = opened(visit, two)
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        expect(plot.locator(".main-svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_tap_on_a_phone_pins_the_card(visit: Visit, two: Path) -> None:
    visit.wide(400, 800)
    page = opened(visit, two)
    page.locator("table.grid button[data-trial]").first.click()
    card = page.locator("#card")
    expect(card).to_have_class(re.compile("pinned"))
    check_picture(page)
    box = card.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400


def test_everything_is_drawn_for_the_printer(visit: Visit, two: Path) -> None:
    page = opened(visit, two)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".plot:not([data-drawn])").count() == 0
    assert page.locator(".plot").count() > 5
