"""Pages that stand elsewhere in the repository, and links that lead out of the docs.

On a code host, a page such as quick-start.md points to the file that it is taken from; the site has
the text itself. Links are relative to the file that they stand in; here they are made relative to
the page that shows it.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

# Page of the site -> where its text stands.
TAKEN_FROM = {
    "quick-start": ROOT / "README.md",
    "pzt-paper": ROOT / "studies" / "pzt-paper" / "README.md",
    "benchmarks-gpu": ROOT / "benchmarks" / "gpu" / "README.md",
    "benchmarks-truth": ROOT / "benchmarks" / "truth" / "README.md",
    "changelog": ROOT / "CHANGELOG.md",
}
QUICK_START = ("Two commands", "Your own image", "From Python", "A real scan")

_FENCE = re.compile(r"(^```.*?^```$)", flags=re.M | re.S)
_LINK = re.compile(r"\[([^\[\]]+)\]\(([^)\s]+)\)")


def sections(text: str, titles: tuple[str, ...]) -> str:
    """The sections of the second level with these titles, in this order."""
    parts = re.split(
        r"^## (.*)$", _FENCE.sub(lambda m: m[0].replace("\n## ", "\n\0## "), text), flags=re.M
    )
    by_title = dict(zip(parts[1::2], parts[2::2], strict=True))
    return "".join(f"## {title}{by_title[title]}" for title in titles).replace("\0", "")


def _page_of(goal: Path) -> Path:
    """The page that shows a file: itself, its notebook, or the one that takes its text from it."""
    for page, file in TAKEN_FROM.items():
        if goal == file:
            return DOCS / f"{page}.md"
    notebook = goal.with_suffix(".ipynb")  # with the output of its source
    return notebook if goal.parent == DOCS and notebook.exists() else goal


def retarget(text: str, *, file: Path, page: Path) -> str:
    """Make the links of a file right for the page that shows it; drop those to folders."""

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        goal = _page_of((file.parent / path).resolve())
        if goal.is_dir():
            return words
        return f"[{words}]({os.path.relpath(goal, page.parent)}{mark}{anchor})"

    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(link, prose) for prose in parts[::2]]
    return "".join(parts)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    page = file = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return
    text = source[0]
    if docname in TAKEN_FROM:
        file = TAKEN_FROM[docname]
        app.env.note_dependency(str(file))
        text = file.read_text(encoding="utf-8")
        if docname == "quick-start":
            text = "# Quick start\n\n" + sections(text, QUICK_START)
    source[0] = retarget(text, file=file, page=page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Before all others that change the text of pages."""
    app.connect("source-read", _read, priority=100)
    return {"parallel_read_safe": True}
