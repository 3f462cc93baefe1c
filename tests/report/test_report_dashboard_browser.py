"""The dashboard in a real browser: what a user sees of a study, its figures and its trials."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial
from playwright.sync_api import Locator, Page, expect

import vaeopt as vo
from tests.browser import Visit
from tests.report.serving import Served, served
from tests.study.tiny import N_TRIALS, SEARCH_COLLAPSE, write_study
from vaeopt.report.dashboard.cards import panels_of
from vaeopt.report.dashboard.refresh import save_figures
from vaeopt.study.fronts.pareto import finished, front, margin
from vaeopt.study.optimize import optimize

THREE = '[ { kind = "reconstruction" }, { kind = "gain" }, { kind = "rate" } ]'
PICTURES = ("latents", "manifold", "reconstructions", "map", "training")
NAMES = ["fvu_core", "gain"]
GREY = "#cccccc"  # of infeasible trials in the dashboard's own figures


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study with two objectives whose trials have a picture."""
    folder = write_study(
        tmp_path_factory.mktemp("two"),
        search=SEARCH_COLLAPSE,
        sampler='{ kind = "grid" }',
        components="[1, 3]",
        n_trials=N_TRIALS,
        optuna='figures = "all"',
    )
    vo.optimize(folder)
    save_figures(vo.load_study(folder))  # no test has to wait for them
    return folder


@pytest.fixture(scope="module")
def two_served(two: Path) -> Iterator[Served]:
    """The same, served for all tests of this file."""
    with served(two) as dashboard:
        yield dashboard


def _card(page: Page, name: str) -> Locator:
    """The saved figure of that name, once it is drawn."""
    card = page.locator(f"[id='user-defined-plot:vaeopt-{name}']")
    card.scroll_into_view_if_needed()
    expect(card.locator(".main-svg").first).to_be_visible()
    return card


def _traces(page: Page, figure: str, what: str) -> Any:
    """Something of every trace of a figure of plotly, as JavaScript says it."""
    return page.evaluate(
        f"(id) => document.getElementById(id)._fullData.map(trace => {what})", figure
    )


def _drawn(page: Page, figure: str) -> None:
    page.wait_for_function("(id) => document.getElementById(id)?._fullData?.length > 0", arg=figure)


def _collapsed(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in finished(study) if margin(trial) > 0]


def test_the_page_of_the_study_names_objectives_and_best_trials(
    visit: Visit, two: Path, two_served: Served
) -> None:
    page, study = visit.page, vo.load_study(two)
    page.goto(two_served.address)
    for axis, name in zip(("X", "Y"), NAMES, strict=True):
        expect(page.get_by_text(f"Objective {axis}:").locator("..")).to_contain_text(name)
    best = page.get_by_text("Best Trials", exact=True).locator("..")
    best.scroll_into_view_if_needed()
    shown = [int(n) for n in re.findall(r"Trial (\d+)", best.inner_text())]
    assert sorted(shown) == sorted(trial.number for trial in front(study))
    assert 0 < len(shown) < len(study.trials)


def test_collapsed_trials_are_grey_and_not_on_the_front(
    visit: Visit, two: Path, two_served: Served
) -> None:
    page, study = visit.page, vo.load_study(two)
    page.goto(two_served.address)
    _drawn(page, "graph-pareto-front")
    points = _traces(page, "graph-pareto-front", "[trace.marker?.color, [...(trace.x ?? [])]]")
    grey = [x for colour, xs in points if colour == GREY for x in xs]
    assert sorted(grey) == pytest.approx(sorted(t.values[0] for t in _collapsed(study)))
    assert 0 < len(grey) < len(study.trials)


def test_saved_figures_are_drawn_in_their_order(
    visit: Visit, two: Path, two_served: Served
) -> None:
    page = visit.page
    page.goto(two_served.address)
    card = _card(page, "front")
    expect(card).to_contain_text("Pareto front")
    titles = [t["text"] for t in card.evaluate("e => [e.layout.xaxis.title, e.layout.yaxis.title]")]
    assert all(name in title for name, title in zip(NAMES, titles, strict=True))
    ids = page.locator("[id^='user-defined-plot:']").evaluate_all("all => all.map(e => e.id)")
    assert ids == [f"user-defined-plot:vaeopt-{p.name}" for p in panels_of(vo.load_study(two))]
    for i in range(len(ids)):
        one = page.locator("[id^='user-defined-plot:']").nth(i)
        one.scroll_into_view_if_needed()
        expect(one.locator(".main-svg").first).to_be_visible()
        frame, inside = one.bounding_box(), one.locator(".main-svg").first.bounding_box()
        assert frame
        assert inside
        assert inside["height"] <= frame["height"] + 1, f"{ids[i]} is cut at its lower edge"
        assert inside["width"] <= frame["width"] + 1, f"{ids[i]} is cut at its right edge"


def test_the_note_explains_what_is_optimised(visit: Visit, two_served: Served) -> None:
    page = visit.page
    page.goto(f"{two_served.address}/note")
    expect(page.get_by_role("heading", name="Objectives")).to_be_visible()
    for name in NAMES:
        expect(page.get_by_role("cell", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="patches.size_px")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Infeasible")).to_be_visible()


def test_a_click_on_the_front_opens_the_trial_with_its_picture(
    visit: Visit, two: Path, two_served: Served
) -> None:
    page, study = visit.page, vo.load_study(two)
    chosen = front(study)[0]
    page.goto(two_served.address)
    _drawn(page, "graph-pareto-front")
    x, y = page.evaluate(
        """([id, x, y]) => {
            const figure = document.getElementById(id), {xaxis, yaxis} = figure._fullLayout;
            const box = figure.getBoundingClientRect();
            return [box.x + xaxis._offset + xaxis.c2p(x), box.y + yaxis._offset + yaxis.c2p(y)];
        }""",
        ["graph-pareto-front", *chosen.values],
    )
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    expect(page.locator("#graph-pareto-front .hoverlayer .hovertext").first).to_be_visible()
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(rf"/trials\?numbers={chosen.number}$"))
    expect(page.get_by_role("heading", name=f"Trial {chosen.number} (")).to_be_visible()
    for name in chosen.params:
        expect(page.get_by_text(name).first).to_be_visible()
    for number, what in enumerate(PICTURES, start=1):
        card = page.get_by_text(f"0{number}_{what}.png", exact=True).locator("xpath=../..")
        picture = card.locator("img[src*='/artifacts/']")
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        whole = "e => e.complete && e.naturalWidth > 100 && e.naturalHeight > 100"
        page.wait_for_function(whole, arg=picture.element_handle())
    note = page.get_by_role("heading", name="Note").locator("xpath=following-sibling::*[1]")
    expect(note).to_contain_text(str(chosen.params["patches.size_px"]))


def test_the_page_of_a_trial_is_as_wide_as_the_window(visit: Visit, two_served: Served) -> None:
    page = visit.page
    page.goto(f"{two_served.address}/trials?numbers=0")
    expect(page.get_by_text("vaeopt:primitives")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("document.querySelector('main').scrollWidth <= window.innerWidth")


def test_a_study_of_three_objectives_shows_its_front_in_space(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path, rewards=THREE, n_trials=3)
    study = optimize(folder)
    page = visit.page
    with served(folder) as dashboard:
        page.goto(dashboard.address)
        figure = page.locator("[id='user-defined-plot:vaeopt-front']")
        expect(figure).to_be_attached()  # the dashboard saves it, and the page asks again for it
        figure.scroll_into_view_if_needed()
        expect(figure.locator("canvas").first).to_be_visible()
        scene = figure.evaluate(
            "e => [e._fullLayout.scene.xaxis, e._fullLayout.scene.yaxis, e._fullLayout.scene.zaxis]"
            ".map(axis => axis.title.text)"
        )
        assert all(name in text for name, text in zip([*NAMES, "rate"], scene, strict=True))
        trials = figure.evaluate("e => e._fullData.flatMap(t => t.x ? [...t.x] : []).length")
        assert trials >= len(study.trials)
        page.goto(f"{dashboard.address}/trials?numbers=0")
        expect(page.get_by_role("heading", name="Trial 0 (")).to_be_visible()
        visit.check()
        page.goto("about:blank")  # it must not ask a server that is gone
