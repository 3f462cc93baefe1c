"""The site: builds without a warning, holds every page and every public name, needs no network."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vaeopt as vo
from vaeopt.cli.words import parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# One worker builds, where tests are shared out among several.
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(  # noqa: S603
        [*build, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


class _Tags(HTMLParser):
    """Tags of a page with their attributes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def _pages(site: Path) -> Iterator[Path]:
    return (page for page in site.rglob("*.html") if "_static" not in page.parts)


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")}
    built = {page.relative_to(site).with_suffix("") for page in _pages(site)}
    assert pages - built == set()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    pages = [_Tags(page).found for page in (site / "reference").glob("*.html")]
    known = {attributes.get("id") for page in pages for _, attributes in page}
    names = [f"vaeopt.{name}" for name in vo.__all__ if not name.startswith("__")]
    assert [name for name in names if name not in known] == []


def test_every_verb_and_option_is_in_the_reference(site: Path) -> None:
    known = {a.get("id", "") for _, a in _Tags(site / "reference" / "command-line.html").found}
    (verbs,) = (a.choices for a in parser()._actions if a.metavar == "VERB")
    assert verbs
    for verb, words in dict(verbs).items():
        for option in (o for a in words._actions for o in a.option_strings if a.dest != "help"):
            assert f"cmdoption-vaeopt-{verb}-{option.lstrip('-')}" in known


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = []
    for page in _pages(site):
        for tag, attributes in _Tags(page).found:
            source = attributes.get("src" if tag != "link" else "href", "")
            if re.match(r"(https?:)?//", source):
                fetched.append((page.name, tag, source))
    assert fetched == []
    styles = [style.read_text(encoding="utf-8") for style in site.rglob("*.css")]
    assert not any(re.search(r"url\(['\"]?(https?:)?//|@import", style) for style in styles)


def test_formulas_are_drawn_by_the_browser(site: Path) -> None:
    page = (site / "science" / "choosing-components.html").read_text(encoding="utf-8")
    assert "<mfrac>" in page
    assert "MathJax" not in page
    assert "$" not in re.sub(r"<(pre|script|style).*?</\1>", "", page, flags=re.S)


def test_the_quick_start_is_that_of_the_readme(site: Path) -> None:
    page = (site / "quick-start.html").read_text(encoding="utf-8")
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    assert "vaeopt export my-study --trial best --out winner" in shown
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sentence = "Every command explains itself with"
    assert sentence in readme
    assert sentence in shown


def test_links_out_of_the_docs_lead_to_pages_of_the_site(site: Path) -> None:
    links = {a.get("href", "") for _, a in _Tags(site / "science" / "noise.html").found}
    assert "../pzt-paper.html#is-the-pick-confirmed" in links


def test_the_order_of_pages_names_each_page_once() -> None:
    spec = importlib.util.spec_from_file_location("order", DOCS / "extensions" / "navigation.py")
    assert spec is not None
    assert spec.loader is not None
    order = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(order)
    named = [page for _, pages in order.SECTIONS for page in pages]
    named += [page for pages in order.BELOW.values() for page in pages]
    assert len(set(named)) == len(named)
    there = {p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.rglob("*.md")}
    assert {*named, "index"} - there == set()
    assert there - {*named, "index"} == set()
